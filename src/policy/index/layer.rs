//! [`Layer`]: many names in one block of octets, immutable.
//!
//! A name's hash gives its bucket of some seven names, where it stands coded in about half its octets ([`symbols`]).
//! Before that, a filter says whether a bucket may have it ([`bucket`]): that is all that is read for most suffixes of a
//! question. The octets of a name always decide, never its hash.
//!
//! A layer can be stored: see [`Layer::as_bytes`] and [`Layer::read`].
//!
//! [`symbols`]: super::symbols
//! [`bucket`]: super::bucket

use std::io;

use super::SetId;
use super::bucket::{Buckets, ENTRY, WORD};
use super::image::{Header, Places};
use super::laid::{Key, Laid};
use super::octets::Octets;
use super::symbols::Symbols;
use crate::model::name::WireName;

/// See the module's header.
#[derive(Debug)]
pub struct Layer {
    image: Octets,
    header: Header,
    places: Places,
    symbols: Box<Symbols>,
}

impl Layer {
    /// A layer whose image has been written; its symbols are those in it.
    pub(super) fn new(image: Octets, header: Header, symbols: Symbols) -> Option<Self> {
        Some(Self { image, places: header.places()?, header, symbols: Box::new(symbols) })
    }

    /// The layer that [`Self::as_bytes`] gave these octets of, of which there are `len`; `None` if they are no image of
    /// this version, or cut short. Octets changed inside are not noticed: they can make it find other names, but not
    /// panic.
    pub fn read(from: &mut impl io::Read, len: u64) -> io::Result<Option<Self>> {
        let Ok(len) = usize::try_from(len) else { return Ok(None) };
        let mut image = Octets::with_capacity(len);
        image.zero_to(len);
        from.read_exact(&mut image)?;
        Ok(Self::of(image))
    }

    fn of(image: Octets) -> Option<Self> {
        let header = Header::read(&image)?;
        let places = header.places()?;
        let symbols = Symbols::read(image.get(places.symbols..)?)?;
        (places.end == image.len()).then_some(())?;
        Self::new(image, header, symbols)
    }

    /// All of it, for a file.
    pub fn as_bytes(&self) -> &[u8] {
        &self.image
    }

    /// How many names it has.
    pub fn len(&self) -> usize {
        self.header.names as usize
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Octets held on the heap.
    pub fn bytes(&self) -> usize {
        self.image.len() + size_of::<Symbols>()
    }

    /// What its names are hashed with.
    pub(super) fn secret(&self) -> u128 {
        self.header.key
    }

    /// Bit n: there is a name of n labels; see [`Header::depths`].
    pub(super) fn depths(&self) -> u64 {
        self.header.depths
    }

    /// Most labels of a name.
    pub(super) fn deepest(&self) -> u32 {
        self.header.deepest
    }

    #[inline]
    pub(super) fn buckets(&self) -> Buckets<'_> {
        let image = &*self.image;
        let part = |start: usize, len: usize| image.get(start..start + len).unwrap_or_default();
        let (count, Places { filter, directory, buckets, .. }) = (self.header.buckets as usize, self.places);
        let octets = part(buckets, self.header.octets as usize);
        Buckets::new(part(filter, WORD * count), part(directory, ENTRY * count), octets)
    }

    /// The set of the suffix of `name` that begins at `at` and has this hash.
    #[inline]
    pub(super) fn find(&self, hash: u64, name: &Laid, at: u32) -> Option<SetId> {
        self.buckets().find(hash, &self.symbols, name, at)
    }

    /// The names with their hashes and sets, in order of hash and, where that is equal, of octets.
    pub(super) fn names(&self, key: Key) -> impl Iterator<Item = (u64, WireName, SetId)> {
        self.buckets().records().filter_map(move |record| {
            let name = WireName::from_fn(|octets| record.decode(&self.symbols, octets));
            (!name.is_empty()).then(|| (key.hash(&name), name, record.set)) // else it is damaged
        })
    }
}
