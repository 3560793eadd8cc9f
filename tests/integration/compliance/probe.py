"""Sends messages no well-behaved client can form and prints the replies the way dig does.

usage: probe.py ADDRESS PORT < probes

A probe is a line: `udp` or `tcp`, then words that build the message from left to right.

  flags=HHHH        the flag octets, hexadecimal; 0100 (RD) without it
  q=NAME/TYPE/CLASS a question
  opt=SIZE/TTL/DATA an OPT record at the root; SIZE decimal, TTL (rcode, version, flags) and DATA hexadecimal
  opt@NAME=…        the same with another owner
  a=NAME            an A record, in the section the counts give it to
  qd=N an=N ns=N ar=N   counts that are not what is there
  hex=HEX           these octets
  cut=N pad=N       the message ends after N octets; is filled up to N octets with zeros

The replies are read by dnspython, so that what it cannot read is told. They are ended by a line `--`.
"""
import random
import socket
import struct
import sys

import dns.exception
import dns.message
import dns.name
import dns.rdataclass
import dns.rdatatype

PATIENCE = 2.0
OPCODES = {0: "QUERY", 1: "IQUERY", 2: "STATUS", 4: "NOTIFY", 5: "UPDATE"}
FLAGS = [("qr", 15), ("aa", 10), ("tc", 9), ("rd", 8), ("ra", 7), ("ad", 5), ("cd", 4)]
RCODES = "NOERROR FORMERR SERVFAIL NXDOMAIN NOTIMP REFUSED YXDOMAIN YXRRSET NXRRSET NOTAUTH NOTZONE".split()


def owner(text):
    return dns.name.from_text(text).to_wire()


def build(words):
    flags, counts, body = 0x0100, {"qd": 0, "an": 0, "ns": 0, "ar": 0}, b""
    told, after = {}, []
    for word in words:
        key, _, value = word.partition("=")
        if key == "flags":
            flags = int(value, 16)
        elif key in counts:
            told[key] = int(value)
        elif key == "q":
            name, rtype, rclass = value.rsplit("/", 2)
            body += owner(name) + struct.pack("!HH", dns.rdatatype.from_text(rtype), dns.rdataclass.from_text(rclass))
            counts["qd"] += 1
        elif key == "a":
            body += owner(value) + struct.pack("!HHIH", 1, 1, 60, 4) + bytes([192, 0, 2, 1])
        elif key.startswith("opt"):
            size, ttl, data = value.split("/")
            data = bytes.fromhex(data)
            body += owner(key[4:] or ".") + struct.pack("!HH", 41, int(size)) + bytes.fromhex(ttl)
            body += struct.pack("!H", len(data)) + data
            counts["ar"] += 1
        elif key == "hex":
            body += bytes.fromhex(value)
        else:
            after.append((key, int(value)))
    counts.update(told)
    message = struct.pack("!HHHHHH", random.randrange(65536), flags, *counts.values()) + body
    for key, length in after:
        message = message[:length] if key == "cut" else message.ljust(length, b"\0")
    return message


def exchange(transport, server, message):
    """The reply; None for silence, b"" for a connection that was closed."""
    try:
        if transport == "udp":
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                sock.settimeout(PATIENCE)
                sock.connect(server)
                sock.send(message)
                return sock.recv(65535)
        with socket.create_connection(server, PATIENCE) as sock:
            sock.sendall(struct.pack("!H", len(message)) + message)
            reader = sock.makefile("rb")
            length = reader.read(2)
            return reader.read(struct.unpack("!H", length)[0]) if len(length) == 2 else b""
    except ConnectionResetError:
        return b""
    except socket.timeout:
        return None


def question(reply):
    end = 12
    while end < len(reply) and reply[end]:
        end += 1 + reply[end]
    return reply[12 : end + 5]


def show(message, reply):
    if reply is None:
        return print(";; silence")
    if not reply:
        return print(";; closed")
    ident, flags, *counts = struct.unpack("!HHHHHH", reply[:12])
    if message[:2] != reply[:2]:
        print(";; Warning: another id")
    parsed = None
    try:
        as_query = bytes([reply[2] & 0x87])  # dnspython knows only some opcodes
        parsed = dns.message.from_wire(reply[:2] + as_query + reply[3:])
    except dns.exception.DNSException as error:
        print(f";; Warning: dnspython: {error!r}")
    rcode = (flags & 15) | (((parsed.ednsflags >> 24) << 4) if parsed and parsed.edns >= 0 else 0)
    opcode = flags >> 11 & 15
    status = {16: "BADVERS", 23: "BADCOOKIE"}.get(rcode) or dict(enumerate(RCODES)).get(rcode, rcode)
    print(f";; ->>HEADER<<- opcode: {OPCODES.get(opcode, f'RESERVED{opcode}')}, status: {status}, id: {ident}")
    names = " ".join(name for name, bit in FLAGS if flags >> bit & 1)
    zero = "; MBZ: 0x4" if flags & 0x40 else ""
    print(";; flags: %s%s; QUERY: %d, ANSWER: %d, AUTHORITY: %d, ADDITIONAL: %d" % (names, zero, *counts))
    if parsed and parsed.edns >= 0:
        do = " do" if parsed.ednsflags & 0x8000 else ""
        zero = f"; MBZ: {parsed.ednsflags & 0x7fff:#06x}" if parsed.ednsflags & 0x7fff else ""
        print(f";; OPT PSEUDOSECTION:\n; EDNS: version: {parsed.edns}, flags:{do}{zero}; udp: {parsed.payload}")
        names = {3: "NSID", 10: "COOKIE", 11: "TCP KEEPALIVE", 12: "PAD", 15: "EDE"}
        for option in parsed.options:
            code = int(option.otype)
            detail = int(option.code) if code == 15 else ""
            print(f"; {names.get(code, f'OPT={code}')}: {detail}")
    if counts[0] and not message[12:].startswith(question(reply)):
        print(";; Warning: another question")
    if counts[0]:
        print(";; QUESTION SECTION:")
    print(f";; MSG SIZE  rcvd: {len(reply)}")


def main():
    server = (sys.argv[1], int(sys.argv[2]))
    for line in sys.stdin:
        transport, *words = line.split()
        message = build(words)
        show(message, exchange(transport, server, message))
        print("--")


main()
