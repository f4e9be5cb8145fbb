//! One key in one allocation: its value, what is known of it, and the bytes of its name.
//!
//! | at | bytes | what |
//! |---|---|---|
//! | 0 | 16 | the value, or the length of the text that is behind the key |
//! | 16 | 4 | use of the key |
//! | 20 | 4 | two flags and the length of the key |
//! | 24 | 8 | deadline, if flagged |
//! | next | 24 | place in the log, if flagged |
//! | next | | key, then the text |
//!
//! So a key of 16 bytes with a number takes 40 bytes, and one look at a string costs one cache miss or two. Parts that
//! are missing are added by moving to a larger allocation. This file owns the layout and all that is unsafe about it.

#![expect(
    unsafe_code,
    reason = "parts of an allocation whose shape is known at run time only; the fence is this module"
)]

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::ptr::NonNull;
use std::slice;

use super::entry::Home;
use crate::value::{Fresh, Object, Seen};

/// Longest text that is held behind its key; longer ones are shared with readers instead of being copied for them.
pub(crate) const TEXT_MAX: usize = 256;

const HAS_DEADLINE: u32 = 1 << 31;
const HAS_HOME: u32 = 1 << 30;
const KEY_LEN: u32 = HAS_HOME - 1;

/// What every block begins with.
#[repr(C)]
struct Head {
    value: Stored,
    usage: u32,
    key: u32,
}

/// The value, or where it is.
enum Stored {
    Object(Object),
    /// Behind the key, so many bytes.
    Text(u32),
}

/// Which parts a block has, and how long its bytes are.
#[derive(Clone, Copy)]
struct Shape {
    deadline: bool,
    home: bool,
    key: usize,
    text: usize,
}

impl Shape {
    fn home_at(self) -> usize {
        size_of::<Head>() + usize::from(self.deadline) * size_of::<u64>()
    }

    fn key_at(self) -> usize {
        self.home_at() + usize::from(self.home) * size_of::<Home>()
    }

    fn bytes(self) -> usize {
        self.key_at() + self.key + self.text
    }

    fn layout(self) -> Layout {
        Layout::from_size_align(self.bytes(), align_of::<Head>())
            .expect("keys and texts are far shorter than the address space")
    }
}

/// See the module documentation. The invariant all of the code below relies on: `at` points to an allocation of the
/// layout of [`Block::shape`], whose parts are initialised and owned by the block.
pub(crate) struct Block {
    at: NonNull<u8>,
}

// SAFETY: a block owns what it points to like a box does, and all of that may move between threads.
unsafe impl Send for Block
where
    Object: Send,
    Home: Send,
{
}
// SAFETY: a shared block only hands out shared references.
unsafe impl Sync for Block
where
    Object: Sync,
    Home: Sync,
{
}

impl Block {
    /// A key with a value, and with the parts that are not zero or missing.
    ///
    /// # Panics
    ///
    /// If the key has more than 2^30 bytes.
    pub(crate) fn new(key: &[u8], value: Fresh<'_>, deadline: u64, home: Option<Home>) -> Self {
        let shape = Shape {
            deadline: deadline != 0,
            home: home.is_some(),
            key: key.len(),
            text: value.text().len(),
        };
        let mut block = Self::allocate(shape);
        block.fill(key, value, deadline, home);
        block
    }

    /// A block whose head tells its shape, without a value, and whose other parts are zero bytes.
    fn allocate(shape: Shape) -> Self {
        let key = u32::try_from(shape.key).ok().filter(|len| *len <= KEY_LEN);
        let key = key.expect("keys are at most 512 MiB")
            | if shape.deadline { HAS_DEADLINE } else { 0 }
            | if shape.home { HAS_HOME } else { 0 };
        let head = Head {
            value: Stored::Text(u32::try_from(shape.text).expect("texts behind keys are short")),
            usage: 0,
            key,
        };
        let layout = shape.layout();
        // SAFETY: the layout is as long as a head at least.
        let at = unsafe { alloc(layout) };
        let at = NonNull::new(at).unwrap_or_else(|| handle_alloc_error(layout));
        // SAFETY: the allocation is aligned for a head and has room for it.
        unsafe { at.cast::<Head>().write(head) };
        let block = Self { at };
        let rest = shape.bytes() - size_of::<Head>();
        // SAFETY: so many bytes are behind the head. Zero bytes are what no deadline and no home are made of: numbers
        // that are 0, and a box that is not there.
        unsafe { block.place(size_of::<Head>()).write_bytes(0, rest) };
        block
    }

    /// Where so many bytes from the start are.
    fn place(&self, offset: usize) -> *mut u8 {
        self.at.as_ptr().wrapping_add(offset)
    }

    fn deadline_place(&self) -> Option<*mut u64> {
        let place = || self.place(size_of::<Head>()).cast();
        (self.head().key & HAS_DEADLINE != 0).then(place)
    }

    fn home_place(&self) -> Option<*mut Home> {
        let shape = self.shape();
        shape.home.then(|| self.place(shape.home_at()).cast())
    }

    /// Puts everything into a block that was allocated for it.
    fn fill(&mut self, key: &[u8], value: Fresh<'_>, deadline: u64, home: Option<Home>) {
        let (name, text) = self.bytes_mut();
        name.copy_from_slice(key);
        text.copy_from_slice(value.text());
        if let Fresh::Object(object) = value {
            self.head_mut().value = Stored::Object(object);
        }
        if let Some(place) = self.deadline_mut() {
            *place = deadline;
        }
        if let (Some(place), Some(home)) = (self.home_part_mut(), home) {
            *place = home;
        }
    }

    fn head(&self) -> &Head {
        // SAFETY: every block begins with an initialised head.
        unsafe { self.at.cast().as_ref() }
    }

    fn head_mut(&mut self) -> &mut Head {
        // SAFETY: as above, and the block is borrowed mutably.
        unsafe { self.at.cast().as_mut() }
    }

    fn shape(&self) -> Shape {
        let head = self.head();
        Shape {
            deadline: head.key & HAS_DEADLINE != 0,
            home: head.key & HAS_HOME != 0,
            key: (head.key & KEY_LEN) as usize,
            text: match head.value {
                Stored::Text(len) => len as usize,
                Stored::Object(_) => 0,
            },
        }
    }

    /// Bytes of the allocation.
    pub(crate) fn bytes(&self) -> usize {
        self.shape().bytes()
    }

    pub(crate) fn key(&self) -> &[u8] {
        let shape = self.shape();
        // SAFETY: so many initialised bytes of the allocation are at that place.
        unsafe { slice::from_raw_parts(self.place(shape.key_at()), shape.key) }
    }

    fn bytes_mut(&mut self) -> (&mut [u8], &mut [u8]) {
        let shape = self.shape();
        let len = shape.key + shape.text;
        // SAFETY: as in `key`; the text is behind the key; the block is borrowed mutably.
        let all = unsafe { slice::from_raw_parts_mut(self.place(shape.key_at()), len) };
        all.split_at_mut(shape.key)
    }

    /// The value.
    pub(crate) fn value(&self) -> Seen<'_> {
        match &self.head().value {
            Stored::Object(object) => Seen::Object(object),
            Stored::Text(len) => {
                let shape = self.shape();
                let text = self.place(shape.key_at() + shape.key);
                // SAFETY: the text is behind the key, so many initialised bytes.
                Seen::Text(unsafe { slice::from_raw_parts(text, *len as usize) })
            }
        }
    }

    /// The value, unless it is a text behind the key.
    pub(crate) fn object_mut(&mut self) -> Option<&mut Object> {
        match &mut self.head_mut().value {
            Stored::Object(object) => Some(object),
            Stored::Text(_) => None,
        }
    }

    /// Takes another value, in place where that has the same length behind the key; all else stays.
    pub(crate) fn set_value(&mut self, value: Fresh<'_>) {
        let before = self.shape();
        let text = value.text().len();
        if text != before.text {
            self.reshape(Shape { text, ..before });
        }
        self.bytes_mut().1.copy_from_slice(value.text());
        self.head_mut().value = match value {
            Fresh::Object(object) => Stored::Object(object),
            Fresh::Text(text) => {
                Stored::Text(u32::try_from(text.len()).expect("texts behind keys are short"))
            }
        };
    }

    /// What the owner notes of the use of the key.
    pub(crate) fn usage(&self) -> u32 {
        self.head().usage
    }

    pub(crate) fn usage_mut(&mut self) -> &mut u32 {
        &mut self.head_mut().usage
    }

    /// The deadline; 0 without one.
    pub(crate) fn deadline(&self) -> u64 {
        // SAFETY: the part is there, initialised and aligned.
        let read = |place: *mut u64| unsafe { place.read() };
        self.deadline_place().map_or(0, read)
    }

    fn deadline_mut(&mut self) -> Option<&mut u64> {
        // SAFETY: as above, and the block is borrowed mutably.
        self.deadline_place().map(|place| unsafe { &mut *place })
    }

    /// Sets the deadline, or with 0 clears it.
    pub(crate) fn set_deadline(&mut self, at: u64) {
        let shape = self.shape();
        if at != 0 && !shape.deadline {
            self.reshape(Shape {
                deadline: true,
                ..shape
            });
        }
        if let Some(deadline) = self.deadline_mut() {
            *deadline = at;
        }
    }

    /// Where the value is in the log, if anything of it is.
    pub(crate) fn home(&self) -> Option<&Home> {
        // SAFETY: the part is there, initialised and aligned.
        self.home_place().map(|place| unsafe { &*place })
    }

    fn home_part_mut(&mut self) -> Option<&mut Home> {
        // SAFETY: as above, and the block is borrowed mutably.
        self.home_place().map(|place| unsafe { &mut *place })
    }

    /// Where the value is in the log, to be changed; an empty place is made where there is none.
    pub(crate) fn home_mut(&mut self) -> &mut Home {
        let shape = self.shape();
        if !shape.home {
            self.reshape(Shape {
                home: true,
                ..shape
            });
        }
        self.home_part_mut().expect("the part was just made")
    }

    /// Moves to an allocation of another shape, with the same key; a text is kept as far as there is room for it.
    fn reshape(&mut self, to: Shape) {
        let from = std::mem::replace(self, Self::allocate(to));
        let (name, text) = self.bytes_mut();
        name.copy_from_slice(from.key());
        if let Seen::Text(before) = from.value() {
            let kept = before.len().min(text.len());
            text[..kept].copy_from_slice(&before[..kept]);
        }
        *self.usage_mut() = from.usage();
        if let Some(place) = self.deadline_mut() {
            *place = from.deadline();
        }
        let mut from = from;
        if let (Some(place), Some(home)) = (self.home_part_mut(), from.home_part_mut()) {
            std::mem::swap(place, home);
        }
        // An object goes along; where a text comes or goes, `set_value` says what the value is next.
        let head = from.head_mut();
        if matches!(head.value, Stored::Object(_)) && to.text == 0 {
            // The text length of what stays behind must be what its shape was: none.
            self.head_mut().value = std::mem::replace(&mut head.value, Stored::Text(0));
        }
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        // The head tells the layout as long as it is not dropped.
        let (layout, home) = (self.shape().layout(), self.home_place());
        // SAFETY: the head is initialised, and nothing looks at it again.
        unsafe { self.at.cast::<Head>().drop_in_place() };
        if let Some(home) = home {
            // SAFETY: the part is there, initialised, and nothing looks at it again.
            unsafe { home.drop_in_place() };
        }
        // SAFETY: this is the layout of the allocation.
        unsafe { dealloc(self.at.as_ptr(), layout) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_as_small_as_the_table_says() {
        assert_eq!(size_of::<Object>(), 16);
        assert_eq!(size_of::<Head>(), 24);
        assert_eq!(size_of::<Home>(), 24);
        assert_eq!(size_of::<Option<Block>>(), 8);
        let block = Block::new(&[7; 16], Fresh::Object(Object::Int(5)), 0, None);
        assert_eq!(block.bytes(), 40);
    }

    /// What a block should hold.
    #[derive(Clone, Debug, PartialEq)]
    struct Model {
        key: Vec<u8>,
        value: Vec<u8>,
        deadline: u64,
        usage: u32,
    }

    fn of(block: &Block) -> Model {
        Model {
            key: block.key().to_vec(),
            value: block.value().string_bytes().expect("a string").to_vec(),
            deadline: block.deadline(),
            usage: block.usage(),
        }
    }

    #[test]
    fn every_order_of_changes_keeps_all_other_parts() {
        let mut seed = 3_u64;
        let mut below = |bound: usize| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            usize::try_from(seed >> 33).expect("31 bits") % bound
        };
        for round in 0..400_u32 {
            let key: Vec<u8> = (0..below(60)).map(|at| at.to_le_bytes()[0]).collect();
            let mut model = Model {
                key: key.clone(),
                value: b"start".to_vec(),
                deadline: u64::from(round % 3),
                usage: 0,
            };
            let home = (round % 2 == 0).then(Home::default);
            let mut deltas = 0;
            let mut block = Block::new(&key, Fresh::string(b"start"), model.deadline, home);
            for step in 0..below(30) {
                match below(5) {
                    0 => {
                        let value = vec![step.to_le_bytes()[0] | 0x80; below(TEXT_MAX + 40)];
                        block.set_value(Fresh::string(&value));
                        model.value = value;
                    }
                    1 => {
                        block.set_value(Fresh::Object(Object::Int(-5)));
                        model.value = b"-5".to_vec();
                    }
                    2 => {
                        model.deadline = [0, 9, 1 << 60][below(3)];
                        block.set_deadline(model.deadline);
                    }
                    3 => {
                        model.usage = round;
                        *block.usage_mut() = round;
                    }
                    _ => {
                        block
                            .home_mut()
                            .push_delta(crate::storage::Address::default());
                        deltas += 1;
                    }
                }
                assert_eq!(of(&block), model);
                assert_eq!(block.home().map_or(0, |home| home.deltas().len()), deltas);
            }
        }
    }
}
