//! Questions the node asks itself: [`Core::ask_oneself`].
//!
//! They take the way of a subscriber's query from the decision on, with the same policy, as a client that is not exempt.
//! What comes before it, access and limits, is left out: a self-test says what the policy does, not who is served. The
//! listener has them counted in counters that nobody reads.
//!
//! They come without RD, so that nothing is looked up for them but the policy and the local zones: what is not listed is
//! REFUSED. An upstream that saw which names are asked would learn which ones have just been lifted, and the cache and
//! what a worker has at hand ([`Near`](super::near::Near)) neither answer nor learn anything.

use std::net::{IpAddr, Ipv4Addr};

use super::core::{Asker, Core, Fast, View, within};
use super::query::{Parsed, parse};

impl Core {
    /// Answers a question of the self-test. What no self-test asks gets no answer.
    #[cold]
    pub fn ask_oneself(&self, message: &[u8], view: &View, out: &mut [u8]) -> Fast {
        let parsed = parse(message);
        let Parsed::Query(query) = &parsed else { return Fast::Drop };
        if query.recursion_desired() {
            return Fast::Drop;
        }
        let from = Asker::datagram(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let view = View { near: None, preview: None, ..*view };
        let out = within(from.size.limit(query), out);
        match self.decided(query, &from, || false, &view, out) {
            fast @ Fast::Reply(..) => fast,
            Fast::Drop | Fast::Held | Fast::Miss => Fast::Drop, // without RD there is no miss
        }
    }
}
