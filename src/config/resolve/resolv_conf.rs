//! The nameservers of resolv.conf(5); every other line of it is about names we are asked, not about where to ask.

use std::net::IpAddr;

/// The servers in the order of the file, and the `nameserver` lines that are not understood. An IPv6 address with a
/// zone (`fe80::1%eth0`) is among the latter: the number of the interface is not known here.
pub(super) fn nameservers(text: &str) -> (Vec<IpAddr>, Vec<&str>) {
    let mut servers = Vec::new();
    let mut odd = Vec::new();
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        if words.next() != Some("nameserver") {
            continue;
        }
        match words.next().map(str::parse) {
            Some(Ok(address)) => servers.push(address),
            _ => odd.push(line),
        }
    }
    (servers, odd)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_nameserver_lines_count() {
        let text = "# nameserver 192.0.2.9\n;nameserver 192.0.2.8\nsearch example\noptions edns0\n\
                    nameserver 192.0.2.1 # first\r\n\tnameserver\t2001:db8::1\nnameserver fe80::1%eth0\nnameserver\n\
                    nameservers 192.0.2.7";
        let (servers, odd) = nameservers(text);
        assert_eq!(servers, ["192.0.2.1".parse::<IpAddr>().unwrap(), "2001:db8::1".parse().unwrap()]);
        assert_eq!(odd, ["nameserver fe80::1%eth0", "nameserver"]);
    }
}
