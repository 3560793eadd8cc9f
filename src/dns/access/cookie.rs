//! DNS cookies (RFC 7873) in the form servers of a fleet can share (RFC 9018): what a COOKIE option of a client says of
//! its source, and what ours answers.
//!
//! Nothing is remembered about any client: a server cookie is a keyed hash over what the client will show us again.

use std::fmt;
use std::hash::Hasher;
use std::net::IpAddr;

use siphasher::sip::SipHasher24;
use siphasher::sip128;

use crate::dns::clock::Millis;

/// Octets of a client's half.
const CLIENT: usize = 8;
/// Octets of a whole option of ours: the client's half, version, reserved, time, hash (RFC 9018 §4).
pub const COOKIE: usize = CLIENT + 16;
/// Version of our server cookies (RFC 9018 §4.1).
const VERSION: u8 = 1;
/// Seconds a server cookie is accepted (RFC 9018 §4.3).
const MAX_AGE: i32 = 3_600;
/// Seconds it may be ahead of our clock (RFC 9018 §4.3).
const MAX_AHEAD: i32 = 300;
/// Seconds after which a valid one is renewed (RFC 9018 §4.3).
const RENEW: i32 = 1_800;
/// How long a secret that no file gives is used: RFC 7873 §7.1 wants a change within 36 days and recommends about one a
/// day.
const LIFETIME: Millis = 86_400_000;

/// A server secret (RFC 9018 §4.4).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Secret(pub [u8; 16]);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Why a text holds no secrets.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretsError {
    /// A line is not 32 hexadecimal digits.
    #[error("line {0} is not 32 hexadecimal digits")]
    Line(usize),
    /// There are none, or too many.
    #[error("it holds {0} secrets; 1 to {MAX_SECRETS} are read")]
    Count(usize),
}

/// Most secrets of a fleet: current, the one before, the next.
pub const MAX_SECRETS: usize = 4;

/// The secrets of a fleet (RFC 9018 §5): the first makes cookies, all are accepted. Empty: the process has its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Secrets(Vec<Secret>);

impl Secrets {
    /// Reads secrets as a file has them: 32 hexadecimal digits a line; empty lines and those that begin with `#` are
    /// for people.
    pub fn from_text(text: &str) -> Result<Self, SecretsError> {
        let lines = text.lines().map(str::trim).enumerate();
        let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        let secrets = lines.map(|(n, line)| secret(line).ok_or(SecretsError::Line(n + 1)));
        let secrets: Vec<_> = secrets.collect::<Result<_, _>>()?;
        if (1..=MAX_SECRETS).contains(&secrets.len()) {
            Ok(Self(secrets))
        } else {
            Err(SecretsError::Count(secrets.len()))
        }
    }
}

fn secret(digits: &str) -> Option<Secret> {
    if digits.len() != 32 || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    u128::from_str_radix(digits, 16).ok().map(|number| Secret(number.to_be_bytes()))
}

/// What a COOKIE option says of its source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cookie {
    /// The client's half alone, or with a server's half that is not ours or too old: `.0` is the option to answer with.
    Fresh([u8; COOKIE]),
    /// The server's half is ours and was given to this address: the source is not forged.
    Valid([u8; COOKIE]),
    /// 8 or 16 to 40 octets it must have (RFC 7873 §4, §5.2.2): FORMERR.
    BadLength,
}

/// Makes and checks server cookies.
#[derive(Debug)]
pub struct Cookies {
    /// What this process's own secrets come from.
    master: Secret,
}

impl Cookies {
    /// `master` is random.
    pub fn new(master: [u8; 16]) -> Self {
        Self { master: Secret(master) }
    }

    /// Judges an option that came from `client`; `seconds` is the time of day, `now` the monotonic time.
    pub fn judge(&self, option: &[u8], client: IpAddr, secrets: &Secrets, seconds: i64, now: Millis) -> Cookie {
        if !matches!(option.len(), 8 | 16..=40) {
            return Cookie::BadLength;
        }
        let Some((half, server)) = option.split_first_chunk::<CLIENT>() else { return Cookie::BadLength };
        match secrets.0.as_slice() {
            [] => {
                let age = now / LIFETIME;
                let ages = [age, age.wrapping_sub(1)].into_iter();
                judge(half, server, client, ages.map(|age| self.own(age)), seconds)
            }
            shared => judge(half, server, client, shared.iter().copied(), seconds),
        }
    }

    /// The secret of one span of [`LIFETIME`], so that changing it needs no timer and nothing to be kept.
    fn own(&self, age: u64) -> Secret {
        let mut hash = sip128::SipHasher24::new_with_key(&self.master.0);
        hash.write_u64(age);
        Secret(sip128::Hasher128::finish128(&hash).as_bytes())
    }
}

fn judge(
    half: &[u8; CLIENT],
    server: &[u8],
    client: IpAddr,
    secrets: impl Iterator<Item = Secret>,
    seconds: i64,
) -> Cookie {
    let seconds = seconds as u32; // RFC 9018 §4.3: modulo 2^32, compared as serial numbers
    let (mut fresh, mut valid) = (None, false);
    for secret in secrets {
        let age = age_of(half, server, client, &secret, seconds);
        match (fresh, age) {
            (None, Some(..RENEW)) if server.starts_with(&[VERSION, 0, 0, 0]) => {
                return Cookie::Valid(whole(half, server));
            }
            _ => valid |= age.is_some(),
        }
        // made with the first secret, whichever accepts
        fresh = fresh.or_else(|| Some(made(half, client, &secret, seconds)));
    }
    let cookie = fresh.unwrap_or([0; COOKIE]);
    if valid { Cookie::Valid(cookie) } else { Cookie::Fresh(cookie) }
}

/// How old a server cookie is in seconds, if this secret made it for this client and it is still good.
fn age_of(half: &[u8; CLIENT], server: &[u8], client: IpAddr, secret: &Secret, seconds: u32) -> Option<i32> {
    let server: &[u8; 16] = server.try_into().ok()?;
    let (head, hash) = server.split_first_chunk::<8>()?;
    let [version, _, _, _, time @ ..] = *head;
    let age = seconds.wrapping_sub(u32::from_be_bytes(time)).cast_signed();
    let good = version == VERSION && (-MAX_AHEAD..=MAX_AGE).contains(&age);
    // the hash is over the reserved octets as they came (RFC 9018 §4.4); eight octets compare at once, in constant time
    (good && u64::from_le_bytes(*hash.first_chunk()?) == digest(half, head, client, secret)).then_some(age)
}

fn made(half: &[u8; CLIENT], client: IpAddr, secret: &Secret, seconds: u32) -> [u8; COOKIE] {
    let mut head = [VERSION, 0, 0, 0, 0, 0, 0, 0];
    head[4..].copy_from_slice(&seconds.to_be_bytes());
    let mut server = [0; 16];
    server[..8].copy_from_slice(&head);
    server[8..].copy_from_slice(&digest(half, &head, client, secret).to_le_bytes());
    whole(half, &server)
}

fn whole(half: &[u8; CLIENT], server: &[u8]) -> [u8; COOKIE] {
    let mut cookie = [0; COOKIE];
    cookie[..CLIENT].copy_from_slice(half);
    cookie[CLIENT..].iter_mut().zip(server).for_each(|(to, from)| *to = *from);
    cookie
}

/// RFC 9018 §4.4.
fn digest(half: &[u8; CLIENT], head: &[u8; 8], client: IpAddr, secret: &Secret) -> u64 {
    let mut hash = SipHasher24::new_with_key(&secret.0);
    hash.write(half);
    hash.write(head);
    match client.to_canonical() {
        IpAddr::V4(v4) => hash.write(&v4.octets()),
        IpAddr::V6(v6) => hash.write(&v6.octets()),
    }
    hash.finish()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECRET: &str = "e5e973e5a6b2a43f48e7dc849e37bfcf";

    fn unhex(text: &str) -> Vec<u8> {
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
    }

    fn judged(secrets: &str, client: &str, option: &str, seconds: i64) -> Cookie {
        let secrets = Secrets::from_text(secrets).unwrap();
        Cookies::new([9; 16]).judge(&unhex(option), client.parse().unwrap(), &secrets, seconds, 0)
    }

    fn cookie(text: &str) -> [u8; COOKIE] {
        unhex(text).try_into().unwrap()
    }

    #[test]
    fn the_vectors_of_rfc_9018_a_1_and_a_2() {
        let learned = "2464c4abcf10c957010000005cf79f111f8130c3eee29480";
        let renewed = "2464c4abcf10c957010000005cf7a871d4a564a1442aca77";
        let judged = |option, at| judged(SECRET, "198.51.100.100", option, at);
        assert_eq!(judged("2464c4abcf10c957", 1_559_731_985), Cookie::Fresh(cookie(learned)));
        assert_eq!(judged(learned, 1_559_734_385), Cookie::Valid(cookie(renewed)), "40 minutes: renewed");
        assert_eq!(judged(learned, 1_559_731_985 + 1_799), Cookie::Valid(cookie(learned)), "before 30 minutes: kept");
    }

    #[test]
    fn the_vector_of_rfc_9018_a_3_has_reserved_octets_that_count() {
        let came = "fc93fc62807ddb8601abcdef5cf78f71a314227b6679ebf5";
        let renewed = "fc93fc62807ddb86010000005cf7a9acf73a7810aca2381e";
        // the RFC's client shows it after 112 minutes, against §4.3; within the hour it is good
        let at = |seconds| judged(SECRET, "203.0.113.203", came, seconds);
        assert_eq!(at(1_559_734_700), Cookie::Fresh(cookie(renewed)));
        let Cookie::Valid(fresh) = at(1_559_727_985) else { panic!() };
        assert_eq!(fresh[8..12], [1, 0, 0, 0], "renewed at once, with the reserved octets zero");
        let changed = came.replace("abcdef", "abcdee");
        assert!(matches!(judged(SECRET, "203.0.113.203", &changed, 1_559_727_985), Cookie::Fresh(_)));
    }

    #[test]
    fn the_vector_of_rfc_9018_a_4_rolls_a_secret_over() {
        let came = "22681ab97d52c298010000005cf7c57926556bd0934c72f8";
        let renewed = "22681ab97d52c298010000005cf7c609a6bb79d16625507a";
        let client = "2001:db8:220:1:59de:d0f4:8769:82b8";
        let both = "445536bcd2513298075a5d379663c962\n# before\ndd3bdf9344b678b185a6f5cb60fca715\n";
        assert_eq!(judged(both, client, came, 1_559_741_961), Cookie::Valid(cookie(renewed)));
        let new = &both[..32];
        assert_eq!(judged(new, client, came, 1_559_741_961), Cookie::Fresh(cookie(renewed)));
        // before the roll-over is complete: the next secret is accepted, the old one still makes cookies
        let prepared = "dd3bdf9344b678b185a6f5cb60fca715\n445536bcd2513298075a5d379663c962\n";
        assert!(matches!(judged(prepared, client, renewed, 1_559_741_961), Cookie::Valid(_)));
        assert_eq!(judged(prepared, client, came, 1_559_741_961), Cookie::Valid(cookie(came)));
    }

    #[test]
    fn an_hour_old_is_good_and_five_minutes_ahead() {
        let learned = "2464c4abcf10c957010000005cf79f111f8130c3eee29480";
        let valid = |at: i64| matches!(judged(SECRET, "198.51.100.100", learned, 1_559_731_985 + at), Cookie::Valid(_));
        assert_eq!([-301, -300, 0, 3_600, 3_601].map(valid), [false, true, true, true, false]);
        // serial arithmetic: in 2106 the number of seconds goes round
        let made = made(&[1; 8], [192, 0, 2, 1].into(), &Secret([7; 16]), u32::MAX - 10);
        let age = age_of(&[1; 8], &made[8..], [192, 0, 2, 1].into(), &Secret([7; 16]), 20);
        assert_eq!(age, Some(31));
    }

    #[test]
    fn a_cookie_is_good_for_its_address_and_its_other_half_only() {
        let learned = "2464c4abcf10c957010000005cf79f111f8130c3eee29480";
        let valid = |client, option: &str| matches!(judged(SECRET, client, option, 1_559_731_990), Cookie::Valid(_));
        assert!(valid("198.51.100.100", learned) && valid("::ffff:198.51.100.100", learned));
        assert!(!valid("198.51.100.101", learned));
        assert!(!valid("198.51.100.100", &learned.replace("2464", "2465")));
        assert!(!valid("198.51.100.100", &learned.replace("01000000", "02000000")), "another version");
        assert!(!valid("198.51.100.100", &format!("{learned}00")), "another length");
    }

    #[test]
    fn lengths_are_those_of_rfc_7873() {
        for len in 0..=64 {
            let judged = judged(SECRET, "192.0.2.1", &"00".repeat(len), 1);
            assert_eq!(judged != Cookie::BadLength, len == 8 || (16..=40).contains(&len), "{len}");
        }
    }

    #[test]
    fn without_a_file_the_secret_changes_daily_and_yesterdays_is_accepted() {
        let (cookies, none, client) = (Cookies::new([3; 16]), Secrets::default(), [192, 0, 2, 1].into());
        let judge = |option: &[u8], now| cookies.judge(option, client, &none, 1_000, now);
        let Cookie::Fresh(first) = judge(&[5; 8], LIFETIME - 1) else { panic!() };
        assert_eq!(judge(&first, LIFETIME - 1), Cookie::Valid(first));
        let Cookie::Valid(second) = judge(&first, LIFETIME) else { panic!("yesterday's") };
        assert_ne!(first, second, "made with today's secret");
        assert!(matches!(judge(&first, 2 * LIFETIME), Cookie::Fresh(_)));
        let other = Cookies::new([4; 16]).judge(&first, client, &none, 1_000, LIFETIME - 1);
        assert!(matches!(other, Cookie::Fresh(_)), "another process");
    }

    #[test]
    fn files_of_secrets_are_read_strictly() {
        assert_eq!(Secrets::from_text(&format!("\n# fleet\n {SECRET} \n")).unwrap().0.len(), 1);
        for (text, error) in [
            ("", SecretsError::Count(0)),
            ("# none\n", SecretsError::Count(0)),
            ("e5\n", SecretsError::Line(1)),
            (&SECRET.replace('e', "g"), SecretsError::Line(1)),
            (&SECRET.replacen('e', "+", 1), SecretsError::Line(1)),
            (&format!("{SECRET}\n{SECRET}0\n"), SecretsError::Line(2)),
            (&format!("{SECRET}\n").repeat(5), SecretsError::Count(5)),
        ] {
            assert_eq!(Secrets::from_text(text), Err(error), "{text}");
        }
        assert!(!format!("{:?}", Secrets::from_text(SECRET)).contains("e5"), "not even for debugging");
    }

    proptest! {
        #[test]
        fn nothing_but_our_own_cookies_is_valid(option in proptest::collection::vec(any::<u8>(), 0..48), seconds: i64) {
            let judged = Cookies::new([3; 16]).judge(&option, [192, 0, 2, 1].into(), &Secrets::default(), seconds, 0);
            prop_assert!(!matches!(judged, Cookie::Valid(_)));
        }
    }
}
