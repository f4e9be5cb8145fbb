//! The engines that a store knows, mounted or not, and how one is brought up to date.
//!
//! Invariant: the commits of an engine that is not mounted are kept, by reference, until it is.

use std::sync::Arc;

use super::address::MountId;
use super::checkpoint::{Builder, Checkpoint, SectionRef};
use super::error::{Error, Result};
use super::format::verified_frame;
use super::live::LiveTable;
use super::log::{Log, SegmentBytes, path_of};
use super::manifest::Manifest;
use super::participant::{Participant, Section};

/// The engines of the store, mounted or not.
pub(crate) struct Registry {
    pub(crate) manifest: Manifest,
    pub(crate) engines: Vec<Engine>,
    pub(crate) base: Option<Arc<Checkpoint>>,
    /// First segment that a retained checkpoint needs; nothing from there on is collected.
    pub(crate) floor: u32,
}

/// One engine of the store.
pub(crate) struct Engine {
    pub(crate) id: MountId,
    pub(crate) kind: u8,
    pub(crate) name: String,
    pub(crate) participant: Option<Arc<dyn Participant>>,
    pub(crate) live: Arc<LiveTable>,
    /// Commits that the engine has not taken in, because it is not mounted.
    pub(crate) pending: Vec<SectionRef>,
}

impl Registry {
    pub(super) fn new(
        manifest: Manifest,
        base: Option<Checkpoint>,
        sections: Vec<(u16, SectionRef)>,
        floor: u32,
    ) -> Self {
        let mut engines: Vec<Engine> = manifest
            .mounts
            .iter()
            .map(|(id, kind, name)| Engine {
                id: MountId(*id),
                kind: *kind,
                name: name.clone(),
                participant: None,
                live: Arc::default(),
                pending: base
                    .as_ref()
                    .and_then(|base| base.part(MountId(*id)))
                    .map_or_else(Vec::new, |part| part.pending.clone()),
            })
            .collect();
        for (mount, section) in sections {
            if let Some(engine) = engines.iter_mut().find(|e| e.id.0 == mount) {
                engine.pending.push(section);
            }
        }
        Self {
            manifest,
            engines,
            base: base.map(Arc::new),
            floor,
        }
    }

    /// First segment with a commit that an engine has not taken in.
    pub(super) fn first_pending(&self) -> Option<u32> {
        let pending = self.engines.iter().flat_map(|engine| &engine.pending);
        pending.map(|section| section.segment).min()
    }

    /// Place of the engine, entered in the manifest if it is new.
    pub(super) fn intern(&mut self, log: &Log, kind: u8, name: &str) -> Result<usize> {
        let known = |engine: &Engine| engine.kind == kind && engine.name == name;
        if let Some(at) = self.engines.iter().position(known) {
            return Ok(at);
        }
        let id = u16::try_from(self.engines.len())
            .map_err(|_| Error::misuse("a store holds at most 65,535 engines"))?;
        let mut manifest = self.manifest.clone();
        manifest.mounts.push((id, kind, name.to_owned()));
        manifest.save(&log.vfs, &log.dir)?;
        self.manifest = manifest;
        self.engines.push(Engine {
            id: MountId(id),
            kind,
            name: name.to_owned(),
            participant: None,
            live: Arc::default(),
            pending: Vec::new(),
        });
        Ok(self.engines.len() - 1)
    }

    /// Restores `participant` from the checkpoint and replays the commits that came after.
    pub(super) fn recover(
        &self,
        log: &Log,
        engine: &Engine,
        participant: &dyn Participant,
    ) -> Result<()> {
        let mut folded = 0;
        if let Some(base) = &self.base
            && let Some(part) = base.part(engine.id)
        {
            participant.restore(&mut base.reader(part))?;
            folded = part.folded;
        }
        for section in engine.pending.iter().filter(|section| section.seq > folded) {
            let frame = frame_of(log, *section)?;
            participant.apply(&Section::new(
                section.seq,
                frame.as_ref(),
                section.segment,
                section.offset,
                engine.id,
            ))?;
        }
        let missing = |(segment, _): &(u32, _)| !log.segments.contains(*segment);
        if let Some((segment, _)) = engine.live.all().iter().find(|entry| missing(entry)) {
            let path = path_of(&log.dir, *segment);
            let what = "a segment with live records is missing";
            return Err(Error::corrupt(path, 0, what));
        }
        participant.recovered()
    }
}

impl Engine {
    /// Writes the engine's part of a checkpoint: its state, or what was known of it at its last mount and the commits since.
    pub(super) fn checkpoint(
        &self,
        base: Option<&Checkpoint>,
        builder: &mut Builder,
    ) -> Result<()> {
        let mut out = builder.mount(self.id);
        if let Some(participant) = &self.participant {
            participant.checkpoint(&mut out)?;
            out.end()?;
            return builder.live(&self.live.all());
        }
        if let Some(base) = base
            && let Some(part) = base.part(self.id)
        {
            out.begin(part.folded)?;
            let mut reader = base.reader(part);
            while reader.remaining() > 0 {
                out.write(reader.chunk(usize::MAX))?;
            }
            out.end()?;
            builder.live(&part.live)?;
        } else {
            out.begin(0)?;
            out.end()?;
        }
        builder.pending(&self.pending)
    }
}

/// The verified frame of a commit to replay.
fn frame_of(log: &Log, section: SectionRef) -> Result<SegmentBytes> {
    let frame = || {
        let segment = log.segments.get(section.segment)?;
        let map = segment.map()?;
        let header = verified_frame(map.as_slice(), segment.salt, section.offset)
            .filter(|header| header.seq == section.seq)?;
        SegmentBytes::new(segment, section.offset as usize, header.len as usize)
    };
    frame().ok_or_else(|| {
        let path = path_of(&log.dir, section.segment);
        let what = "a commit to replay cannot be read";
        Error::corrupt(path, u64::from(section.offset), what)
    })
}
