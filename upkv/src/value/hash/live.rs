//! A hash as readers see it at one moment: without the fields whose time has come.

use super::Hash;

/// See the module documentation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Live<'h> {
    hash: &'h Hash,
    /// The moment; 0 while no field is overdue, so that nothing has to be looked up.
    now: u64,
}

impl Hash {
    /// The hash as it is at `now`.
    pub(crate) fn live(&self, now: u64) -> Live<'_> {
        let first = self.part_deadlines().first;
        let now = if first != 0 && first <= now { now } else { 0 };
        Live { hash: self, now }
    }
}

impl<'h> Live<'h> {
    /// Whether some fields are overdue and not cleared away yet.
    pub(crate) fn has_overdue(self) -> bool {
        self.now != 0
    }

    fn shows(self, field: &[u8]) -> bool {
        let at = if self.has_overdue() {
            self.hash.deadline(field)
        } else {
            0
        };
        at == 0 || at > self.now
    }

    /// Number of fields. O(fields that are overdue).
    pub(crate) fn len(self) -> usize {
        if self.has_overdue() {
            self.hash.len() - self.hash.due(self.now).count()
        } else {
            self.hash.len()
        }
    }

    pub(crate) fn get(self, field: &[u8]) -> Option<&'h [u8]> {
        self.hash.get(field).filter(|_| self.shows(field))
    }

    /// The deadline of a field, 0 without one; `None` if there is no such field.
    pub(crate) fn deadline(self, field: &[u8]) -> Option<u64> {
        self.get(field).map(|_| self.hash.deadline(field))
    }

    /// Fields and values; see [`Hash::iter`].
    pub(crate) fn iter(self) -> impl Iterator<Item = (&'h [u8], &'h [u8])> {
        self.hash.iter().filter(move |(field, _)| self.shows(field))
    }

    /// One field, picked by `random`. O(n) while some are overdue.
    pub(crate) fn pick(self, random: u64) -> Option<(&'h [u8], &'h [u8])> {
        if !self.has_overdue() {
            return self.hash.pick(random);
        }
        let at = random.checked_rem(self.len() as u64)?;
        self.iter().nth(usize::try_from(at).ok()?)
    }

    /// One scan step; see [`Hash::scan`].
    pub(crate) fn scan(
        self,
        from: u64,
        count: usize,
        mut emit: impl FnMut(&'h [u8], &'h [u8]),
    ) -> Option<u64> {
        self.hash.scan(from, count, |field, value| {
            if self.shows(field) {
                emit(field, value);
            }
        })
    }
}
