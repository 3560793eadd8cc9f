//! [`Chunked`]: a list that is copied for the price of one pointer, and changed for the price of one chunk.
//!
//! The control plane changes a few items and hands the whole list to a snapshot, which is never changed.

use std::fmt;
use std::sync::Arc;

/// Items of a chunk.
const CHUNK: usize = 64;

/// See the module's header.
pub struct Chunked<T> {
    chunks: Arc<Vec<Arc<[T; CHUNK]>>>,
    len: usize,
}

impl<T> Chunked<T> {
    /// How many items it has.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The item at a place.
    #[inline]
    pub fn get(&self, at: usize) -> Option<&T> {
        self.chunks.get(at / CHUNK).map(|chunk| &chunk[at % CHUNK]).filter(|_| at < self.len)
    }

    /// The items in order.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.chunks.iter().flat_map(|chunk| chunk.iter()).take(self.len)
    }

    /// Octets on the heap, without what items own.
    pub fn bytes(&self) -> usize {
        self.chunks.len() * (size_of::<[T; CHUNK]>() + size_of::<Arc<[T; CHUNK]>>())
    }
}

impl<T: Clone + Default> Chunked<T> {
    /// Puts an item in its place; places that have never had one get the default.
    pub fn set(&mut self, at: usize, item: T) {
        let chunks = Arc::make_mut(&mut self.chunks);
        while chunks.len() <= at / CHUNK {
            chunks.push(Arc::new(std::array::from_fn(|_| T::default())));
        }
        Arc::make_mut(&mut chunks[at / CHUNK])[at % CHUNK] = item;
        self.len = self.len.max(at + 1);
    }

    /// Adds an item at the end.
    pub fn push(&mut self, item: T) {
        self.set(self.len, item);
    }
}

impl<T> Default for Chunked<T> {
    fn default() -> Self {
        Self { chunks: Arc::default(), len: 0 }
    }
}

impl<T> Clone for Chunked<T> {
    fn clone(&self) -> Self {
        Self { chunks: self.chunks.clone(), len: self.len }
    }
}

impl<T: fmt::Debug> fmt::Debug for Chunked<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<T: Clone + Default> FromIterator<T> for Chunked<T> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        let mut list = Self::default();
        items.into_iter().for_each(|item| list.push(item));
        list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_keeps_what_it_had() {
        let mut list: Chunked<usize> = (0..200).collect();
        let copy = list.clone();
        list.set(70, 7);
        list.set(300, 3);
        assert_eq!((list.len(), list.get(70), list.get(250), list.get(300)), (301, Some(&7), Some(&0), Some(&3)));
        assert!(copy.iter().copied().eq(0..200));
        assert_eq!((copy.get(199), copy.get(200), copy.get(10_000)), (Some(&199), None, None));
        assert!(Arc::ptr_eq(&list.chunks[0], &copy.chunks[0]), "only what changed is copied");
    }
}
