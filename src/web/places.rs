//! [`Places`]: how many connections each address has. Strangers reach a listener that is not loopback, and none of them may
//! take all places.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// Connections of one address at a time.
const PER_ADDRESS: usize = 64;

/// Connections by address. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Places(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// A place; given back with the value.
#[derive(Debug)]
pub(super) struct Place(Places, IpAddr);

impl Places {
    /// A place for an address, if it has not too many. Programs on this machine share one address and have all places.
    pub(super) fn take(&self, address: IpAddr) -> Option<Place> {
        let address = network(address);
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = places.entry(address).or_insert(0);
        if *taken >= PER_ADDRESS && !address.is_loopback() {
            return None;
        }
        *taken += 1;
        Some(Place(self.clone(), address))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut places = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(taken) = places.get_mut(&self.1) {
            *taken -= 1;
            if *taken == 0 {
                places.remove(&self.1);
            }
        }
    }
}

/// What counts as one address: an IPv6 client has a /64 to choose from. Loopback stays what it is.
pub(super) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) if !address.is_loopback() => IpAddr::V6((address.to_bits() & !u128::from(u64::MAX)).into()),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_its_places_and_no_more() {
        let places = Places::default();
        let take = |address: &str| places.take(address.parse().unwrap());
        let mut taken: Vec<_> = (0..PER_ADDRESS).map(|_| take("192.0.2.1").unwrap()).collect();
        assert!(take("192.0.2.1").is_none() && take("::ffff:192.0.2.1").is_none());
        assert!(take("192.0.2.2").is_some());
        taken.pop();
        taken.push(take("192.0.2.1").unwrap());
        assert!(take("192.0.2.1").is_none());
        let _taken: Vec<_> = (0..PER_ADDRESS).map(|n| take(&format!("2001:db8::{n:x}")).unwrap()).collect();
        assert!(take("2001:db8::ffff").is_none() && take("2001:db8:0:1::1").is_some());
        let here: Vec<_> = (0..2 * PER_ADDRESS).map(|_| take("127.0.0.1")).collect();
        assert!(here.iter().all(Option::is_some));
        drop((taken, _taken, here));
        assert!(places.0.lock().unwrap().is_empty());
    }
}
