//! [`Octets`]: the memory of an image, in huge pages where it is long.
//!
//! A look-up goes to two or three places far apart. In pages of 4 KiB nearly each of them costs a walk through the page
//! tables besides, which in a virtual machine takes longer than the access itself. So long images are mapped, and the
//! kernel is asked for pages of 2 MiB; whether it has any changes nothing but the time.

use std::ops::{Deref, DerefMut};

use memmap2::{Advice, MmapMut};

use super::image::LINE;

/// From this length on it is mapped: shorter ones stay in the processor's caches.
const LONG: usize = 1 << 20;

/// A huge page; the kernel aligns mappings of whole ones.
const HUGE: usize = 2 << 20;

/// A vector that grows only if its capacity was guessed badly.
#[derive(Debug)]
pub(super) enum Octets {
    Heap(Vec<u8>),
    Mapped { map: MmapMut, len: usize },
}

impl Octets {
    /// Room for so many.
    pub(super) fn with_capacity(capacity: usize) -> Self {
        if capacity >= LONG
            && let Ok(map) = MmapMut::map_anon(capacity.next_multiple_of(HUGE))
        {
            let _ = map.advise(Advice::HugePage); // a kernel without them
            return Self::Mapped { map, len: 0 };
        }
        Self::Heap(Vec::with_capacity(capacity))
    }

    /// Appends.
    pub(super) fn extend(&mut self, octets: &[u8]) {
        match self {
            Self::Heap(vec) => vec.extend_from_slice(octets),
            Self::Mapped { map, len } => match map.get_mut(*len..*len + octets.len()) {
                Some(room) => {
                    room.copy_from_slice(octets);
                    *len += octets.len();
                }
                None => {
                    let mut longer = Self::with_capacity((*len + octets.len()) / 4 * 5);
                    longer.extend(self);
                    longer.extend(octets);
                    *self = longer;
                }
            },
        }
    }

    /// Appends zeros up to a length.
    pub(super) fn zero_to(&mut self, end: usize) {
        match self {
            Self::Heap(vec) => vec.resize(end, 0),
            Self::Mapped { map, len } if end <= map.len() => *len = end, // was never written
            Self::Mapped { len, .. } => {
                let zeros = vec![0; end - *len];
                self.extend(&zeros);
            }
        }
    }

    /// Gives back what is too much; of a mapping, untouched pages take no memory.
    pub(super) fn trim(&mut self) {
        if let Self::Heap(vec) = self {
            vec.shrink_to_fit();
        }
    }

    /// Appends zeros until the next part can begin.
    pub(super) fn align(&mut self) {
        self.zero_to(self.len().next_multiple_of(LINE));
    }
}

impl Default for Octets {
    fn default() -> Self {
        Self::Heap(Vec::new())
    }
}

impl Deref for Octets {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match self {
            Self::Heap(vec) => vec,
            Self::Mapped { map, len } => map.get(..*len).unwrap_or_default(),
        }
    }
}

impl DerefMut for Octets {
    fn deref_mut(&mut self) -> &mut [u8] {
        match self {
            Self::Heap(vec) => vec,
            Self::Mapped { map, len } => map.get_mut(..*len).unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapping_that_is_too_short_grows() {
        let mut octets = Octets::with_capacity(LONG);
        assert!(matches!(octets, Octets::Mapped { .. }));
        octets.zero_to(HUGE - 1);
        octets.extend(b"abc");
        octets.align();
        assert_eq!(octets.len(), HUGE + LINE);
        assert_eq!(octets.get(HUGE - 2..HUGE + 3), Some(&b"\0abc\0"[..]));
        octets.zero_to(5 * HUGE);
        assert_eq!(octets.iter().map(|octet| usize::from(*octet)).sum::<usize>(), usize::from(b'a') * 3 + 3);
    }
}
