//! Where searches start: the medoid, and a few nodes far from each other so that every cluster is near one.
//!
//! Invariant: the choice depends on the graph alone, so that equal graphs search alike.

use super::Graph;
use crate::store::space::Space;

/// Nodes looked at.
const SAMPLE: usize = 512;
/// Entry points besides the medoid.
const FAR: usize = 15;

/// Chooses the entry points among `candidates`, nodes that are to stay, given in a fixed order.
pub(crate) fn choose(graph: &mut Graph, space: &Space, candidates: &[u32]) {
    graph.entries.clear();
    graph.entries_for = graph.nodes;
    let step = candidates.len().div_ceil(SAMPLE).max(1);
    let sample: Vec<u32> = candidates.iter().copied().step_by(step).collect();
    let mean = mean(space, &sample);
    let probe = space.probe(&mean);
    let nearest = sample.iter().copied().min_by(|a, b| {
        let (a, b) = (space.distance(&probe, *a), space.distance(&probe, *b));
        a.total_cmp(&b)
    });
    let Some(medoid) = nearest else { return };
    graph.entries.push(medoid);
    let mut gaps: Vec<f32> = sample
        .iter()
        .map(|slot| space.between(medoid, *slot))
        .collect();
    while graph.entries.len() <= FAR {
        let far = gaps.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
        let Some((place, gap)) = far else { return };
        if *gap == 0.0 {
            return;
        }
        let chosen = sample[place];
        graph.entries.push(chosen);
        for (gap, slot) in gaps.iter_mut().zip(&sample) {
            *gap = gap.min(space.between(chosen, *slot));
        }
    }
}

/// The middle of the directions, or of the points: what distances to it mean the same for.
fn mean(space: &Space, sample: &[u32]) -> Vec<f32> {
    let mut sum = vec![0.0_f64; space.dimensions()];
    for &slot in sample {
        let scale = space.weight(slot);
        for (sum, x) in sum.iter_mut().zip(space.vector(slot)) {
            *sum += f64::from(*x) * scale;
        }
    }
    let count = f64::from(u32::try_from(sample.len().max(1)).expect("a sample is small"));
    sum.iter()
        .map(|x| crate::distance::metric::narrow(x / count))
        .collect()
}
