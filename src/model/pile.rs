//! [`Pile`]: octet strings one behind the other, in memory that the system gets back at once.
//!
//! What an allocator is given back it likes to keep, and a long list would leave its own size behind. So a pile that
//! grows long goes on in anonymous mappings, and whoever reads it for the last time gives them back one by one.

use std::ops::Deref;

use memmap2::MmapMut;

/// Strings that lie in one piece.
#[derive(Debug)]
pub(crate) enum Chunk {
    Heap(Vec<u8>),
    Mapped { map: MmapMut, len: usize },
}

impl Chunk {
    fn mapped(size: usize) -> Self {
        match MmapMut::map_anon(size) {
            Ok(map) => Self::Mapped { map, len: 0 },
            Err(_) => Self::Heap(Vec::with_capacity(size)), // the system has no mapping left
        }
    }

    /// Appends a string in two pieces if it has room for it; one on the heap grows up to `most`.
    #[inline]
    fn push(&mut self, head: &[u8], body: &[u8], most: usize) -> bool {
        let octets = head.len() + body.len();
        match self {
            Self::Heap(vec) if vec.len() + octets <= most.max(vec.capacity()) => {
                vec.extend_from_slice(head);
                vec.extend_from_slice(body);
                true
            }
            Self::Heap(_) => false,
            Self::Mapped { map, len } => {
                let Some(room) = map.get_mut(*len..*len + octets) else { return false };
                let (front, back) = room.split_at_mut(head.len());
                front.copy_from_slice(head);
                back.copy_from_slice(body);
                *len += octets;
                true
            }
        }
    }
}

impl Deref for Chunk {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Heap(vec) => vec,
            Self::Mapped { map, len } => map.get(..*len).unwrap_or_default(),
        }
    }
}

impl Clone for Chunk {
    fn clone(&self) -> Self {
        match self {
            Self::Heap(vec) => Self::Heap(vec.clone()),
            Self::Mapped { map, .. } => {
                let mut copy = Self::mapped(map.len());
                copy.push(self, &[], 0); // it has the room
                copy
            }
        }
    }
}

/// See the module's header.
#[derive(Clone, Debug)]
pub(crate) struct Pile {
    chunks: Vec<Chunk>,
    /// The first chunk may have this many octets on the heap.
    short: usize,
    /// Octets of the others.
    size: usize,
    len: usize,
}

impl Pile {
    /// An empty one: up to `short` octets on the heap, the rest in mappings of `size`.
    pub(crate) const fn new(short: usize, size: usize) -> Self {
        Self { chunks: Vec::new(), short, size, len: 0 }
    }

    /// Appends a string in two pieces.
    #[inline]
    pub(crate) fn push(&mut self, head: &[u8], body: &[u8]) {
        self.len += head.len() + body.len();
        let most = if self.chunks.len() == 1 { self.short } else { 0 };
        if !self.chunks.last_mut().is_some_and(|chunk| chunk.push(head, body, most)) {
            self.push_to_next(head, body);
        }
    }

    #[cold]
    fn push_to_next(&mut self, head: &[u8], body: &[u8]) {
        let octets = head.len() + body.len();
        let heap = self.chunks.is_empty() && octets <= self.short;
        let mut chunk = if heap { Chunk::Heap(Vec::new()) } else { Chunk::mapped(self.size.max(octets)) };
        chunk.push(head, body, self.short);
        self.chunks.push(chunk);
    }

    /// Octets of all strings.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The strings, a chunk at a time; none is in two chunks.
    pub(crate) fn chunks(&self) -> impl Iterator<Item = &[u8]> {
        self.chunks.iter().map(|chunk| &**chunk)
    }

    /// Takes the strings out, a chunk at a time: the memory of each is given back when it is dropped.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = Chunk> + use<> {
        self.len = 0;
        std::mem::take(&mut self.chunks).into_iter()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_was_pushed_comes_out_in_order_and_whole(
            strings in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..200),
            short in 0..100usize,
            size in 1..100usize,
        ) {
            let mut pile = Pile::new(short, size);
            for string in &strings {
                let (head, body) = string.split_at(string.len() / 3);
                pile.push(head, body);
            }
            prop_assert_eq!(pile.len(), strings.iter().map(Vec::len).sum::<usize>());
            let copy = pile.clone();
            let mut expected = strings.iter();
            for chunk in pile.drain() {
                let mut rest = &*chunk;
                while !rest.is_empty() {
                    let next = expected.next().expect("no more than was pushed");
                    rest = rest.strip_prefix(&next[..]).expect("whole");
                }
            }
            prop_assert!(expected.all(Vec::is_empty));
            prop_assert_eq!(pile.len(), 0);
            prop_assert_eq!(copy.chunks().collect::<Vec<_>>().concat(), strings.concat());
        }
    }
}
