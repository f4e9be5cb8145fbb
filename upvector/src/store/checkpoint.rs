//! All namespaces as one stream of bytes, and back: who is where, and the graphs. Vectors stay in the log, but for those of dead nodes,
//! whose records may be gone from it. `docs/format.md` has the tables.
//!
//! Invariant: a restored graph has edges to nodes only; no bytes make the reader panic or allocate more than they are.

use upkv::storage::codec::{Malformed, Reader, put_bytes, put_u8, put_u32, put_u64, put_varint};
use upkv::storage::{Address, CheckpointReader, CheckpointWriter, Error, Result};

use super::dense::{Dense, Place};
use super::journal::{NAME_BYTES_MAX, floats};
use super::state::{Common, Slot, State};
use crate::inner::Inner;
use crate::record::ID_BYTES_MAX;
use crate::spec::Shape;

const VERSION: u8 = 1;
/// Slots in a block.
const BLOCK: u32 = 1024;

const FREE: u8 = 0;
const FRESH: u8 = 1;
const NODE: u8 = 2;
const DEAD: u8 = 3;

fn corrupt(what: &'static str) -> Error {
    Error::corrupt("checkpoint", 0, what)
}

fn write_block(out: &mut CheckpointWriter<'_>, block: &[u8]) -> Result<()> {
    let len = u32::try_from(block.len()).expect("a block of 1024 slots is below 4 GiB");
    out.write(&len.to_le_bytes())?;
    out.write(block)
}

fn read_block(input: &mut CheckpointReader<'_>) -> Result<Vec<u8>> {
    let mut len = [0; 4];
    input.read_exact(&mut len)?;
    input.take(u32::from_le_bytes(len) as usize)
}

/// Writes everything. Nobody appends meanwhile.
pub(crate) fn write(inner: &Inner, out: &mut CheckpointWriter<'_>) -> Result<()> {
    let spaces = inner.spaces.read();
    let mut block = vec![VERSION];
    let shape = inner.shape.get().map_or([0; 4], Shape::encode);
    block.extend_from_slice(&shape);
    put_u32(&mut block, spaces.next);
    put_u64(&mut block, spaces.by_name.len() as u64);
    write_block(out, &block)?;
    for (name, space) in &spaces.by_name {
        let state = space.state.read();
        block.clear();
        put_u32(&mut block, space.number);
        put_bytes(&mut block, name.as_bytes());
        encode_head(&state, &mut block);
        write_block(out, &block)?;
        let slots = u32::try_from(state.slots.len()).expect("slots are numbered with 32 bits");
        for start in (0..slots).step_by(BLOCK as usize) {
            block.clear();
            for slot in start..slots.min(start.saturating_add(BLOCK)) {
                encode_slot(&state, slot, &mut block);
            }
            write_block(out, &block)?;
        }
    }
    Ok(())
}

/// The part of a namespace that is not by slot.
pub(crate) fn encode_head(state: &State, out: &mut Vec<u8>) {
    put_u64(out, state.next);
    put_u32(
        out,
        u32::try_from(state.slots.len()).expect("slots are numbered with 32 bits"),
    );
    let graph = state.dense.as_ref().map(|dense| &dense.graph);
    let entries = graph.map_or(&[][..], |graph| &graph.entries);
    put_u64(out, graph.map_or(0, |graph| graph.entries_for as u64));
    put_varint(out, entries.len() as u64);
    for slot in entries {
        put_u32(out, *slot);
    }
}

/// One slot, with its edges if it is a node.
pub(crate) fn encode_slot(state: &State, slot: u32, out: &mut Vec<u8>) {
    let record = state.slot(slot);
    let dense = state.dense.as_deref();
    let place = dense.and_then(|dense| dense.places.get(slot as usize));
    let is_node = place == Some(&Place::Node);
    let kind = match (record.is_live(), is_node) {
        (true, true) => NODE,
        (true, false) => FRESH,
        (false, true) => DEAD,
        (false, false) => FREE,
    };
    put_u8(out, kind);
    if record.is_live() {
        put_u64(out, record.sequence);
        put_u32(out, record.at.segment);
        put_u32(out, record.at.offset);
        put_u32(out, record.at.len);
        put_bytes(out, record.id.as_bytes());
    }
    if let Some(dense) = dense
        && is_node
    {
        let edges = dense.graph.adjacency.of(slot);
        put_varint(out, edges.len() as u64);
        for other in edges {
            put_u32(out, *other);
        }
        if kind == DEAD {
            for x in dense.space.vector(slot) {
                out.extend_from_slice(&x.to_le_bytes());
            }
        }
    }
}

/// Reads what [`write`] wrote into an index without namespaces.
pub(crate) fn read(inner: &Inner, input: &mut CheckpointReader<'_>) -> Result<()> {
    if input.remaining() == 0 {
        return Ok(());
    }
    let head = read_block(input)?;
    let mut reader = Reader::new(&head);
    if reader.u8()? != VERSION {
        return Err(corrupt("unknown version of the state of an index"));
    }
    let shape = reader.take(4)?.as_chunks::<4>().0.first().copied();
    let shape = shape.ok_or_else(|| corrupt("specification of an index"))?;
    if shape != [0; 4] {
        let shape = Shape::decode(shape).ok_or_else(|| corrupt("specification of an index"))?;
        inner.shape.get_or_init(|| shape);
    }
    let next = reader.u32()?;
    let count = reader.u64()?;
    reader.finish()?;
    let mut spaces = inner.spaces.write();
    for _ in 0..count {
        let head = read_block(input)?;
        let mut reader = Reader::new(&head);
        let number = reader.u32()?;
        let name = reader.text()?;
        let known = spaces.numbered(number).is_some() || spaces.by_name.contains_key(name);
        if known || name.len() > NAME_BYTES_MAX as usize || number >= next {
            return Err(corrupt("name or number of a namespace"));
        }
        let space = inner.new_space(number);
        let mut state = space.state.write();
        let slots = decode_head(inner.common().as_ref(), &mut state, &mut reader)?;
        reader.finish()?;
        let mut slot = 0;
        while slot < slots {
            let block = read_block(input)?;
            let mut reader = Reader::new(&block);
            for _ in 0..BLOCK.min(slots - slot) {
                decode_slot(&mut state, slot, &mut reader)?;
                slot += 1;
            }
            reader.finish()?;
        }
        check_graph(&mut state)?;
        let live = state.order.values();
        live.for_each(|slot| inner.mount.retain(state.slot(*slot).at));
        drop(state);
        spaces.insert(name, space);
    }
    spaces.next = next;
    if input.remaining() > 0 {
        return Err(corrupt("bytes after the state of an index"));
    }
    Ok(())
}

/// Reads the head of a namespace; the number of its slots.
pub(crate) fn decode_head(
    common: Option<&Common>,
    state: &mut State,
    input: &mut Reader<'_>,
) -> Result<u32, Malformed> {
    state.next = input.u64()?;
    let slots = input.u32()?;
    let entries_for = input.u64()?;
    let count = input.varint()?;
    if count > input.remaining() as u64 / 4 {
        return Err(Malformed("number of entry points"));
    }
    let spec = common.and_then(|common| common.shape.dense);
    if let (Some(common), Some(spec)) = (common, spec) {
        let mut dense = Box::new(Dense::new(spec, common.graph, common.kernels));
        dense.graph.entries_for = usize::try_from(entries_for).unwrap_or(usize::MAX);
        for _ in 0..count {
            dense.graph.entries.push(input.u32()?);
        }
        state.dense = Some(dense);
    } else if count > 0 {
        return Err(Malformed("entry points without a graph"));
    }
    Ok(slots)
}

/// Reads one slot, which is the next of `state`. Its vector comes later, unless it is dead.
pub(crate) fn decode_slot(
    state: &mut State,
    slot: u32,
    input: &mut Reader<'_>,
) -> Result<(), Malformed> {
    let kind = input.u8()?;
    state.slots.push(Slot::default());
    state.loading.push(None);
    if let Some(dense) = &mut state.dense
        && kind != FREE
    {
        dense.grow(slot as usize + 1);
    }
    match kind {
        FREE => state.free.push(slot),
        FRESH | NODE => {
            let sequence = input.u64()?;
            let at = Address {
                segment: input.u32()?,
                offset: input.u32()?,
                len: input.u32()?,
            };
            let id = input.text()?;
            let fits = !id.is_empty() && id.len() <= ID_BYTES_MAX as usize;
            if !fits || sequence == 0 || sequence >= state.next {
                return Err(Malformed("id or sequence of a record"));
            }
            let record = Slot {
                id: id.into(),
                sequence,
                at,
                metadata: None,
                has_data: false,
            };
            if !state.restore(slot, record) {
                return Err(Malformed("a record that is there twice"));
            }
            state.loading[slot as usize] = Some(at);
        }
        DEAD => {}
        _ => return Err(Malformed("kind of a slot")),
    }
    match (&mut state.dense, kind) {
        (Some(dense), FRESH) => dense.make_fresh(slot),
        (Some(dense), NODE | DEAD) => decode_node(dense, slot, kind == DEAD, input)?,
        (None, NODE | DEAD) => return Err(Malformed("a node without a graph")),
        _ => {}
    }
    Ok(())
}

fn decode_node(
    dense: &mut Dense,
    slot: u32,
    is_dead: bool,
    input: &mut Reader<'_>,
) -> Result<(), Malformed> {
    let count = usize::try_from(input.varint()?).unwrap_or(usize::MAX);
    let bytes = input.take(count.checked_mul(4).ok_or(Malformed("number of edges"))?)?;
    let edges = bytes.as_chunks::<4>().0.iter();
    // Built with a larger degree, a node has more edges than there is room for now.
    let room = dense.graph.adjacency.room();
    let edges: Vec<u32> = edges.map(|n| u32::from_le_bytes(*n)).take(room).collect();
    dense.graph.adjacency.set(slot, &edges);
    dense.graph.nodes += 1;
    dense.places[slot as usize] = Place::Node;
    if is_dead {
        dense.dead += 1;
        let vector = floats(input.take(4 * dense.space.dimensions())?);
        if !vector.iter().all(|x| x.is_finite()) {
            return Err(Malformed("component of a vector"));
        }
        dense.space.set(slot, &vector);
    }
    Ok(())
}

/// Refuses edges that lead nowhere.
fn check_graph(state: &mut State) -> Result<()> {
    let Some(dense) = &state.dense else {
        return Ok(());
    };
    let is_node = |slot: &u32| dense.places.get(*slot as usize) == Some(&Place::Node);
    let graph = &dense.graph;
    let entries = graph.entries.iter().all(is_node) && graph.entries.is_empty() == graph.is_empty();
    if !entries
        || !dense
            .nodes()
            .all(|slot| graph.adjacency.of(slot).iter().all(is_node))
    {
        return Err(corrupt("an edge that leads nowhere"));
    }
    if graph.is_empty() && dense.places.is_empty() {
        state.dense = None;
    }
    Ok(())
}
