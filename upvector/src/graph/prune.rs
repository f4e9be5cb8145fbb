//! Robust pruning: from candidates to edges that are short, few, and in all directions.
//!
//! Invariant: an edge to x is dropped if one to a nearer c stays with alpha * d(c, x) <= d(p, x), where d is the true distance. What is
//! passed around are squares, so the factor is applied squared. Strict edges (alpha 1) are taken first, longer ones if there is room.

use super::search::Candidate;
use crate::store::space::Space;

/// Candidates that are looked at.
const CANDIDATES_MAX: usize = 750;

/// Scratch space of pruning.
#[derive(Debug, Default)]
pub(crate) struct Pruner {
    /// By candidate: how much shorter the way over the best edge taken so far is; infinite if it needs no edge.
    factors: Vec<f32>,
}

impl Pruner {
    /// Chooses at most `degree` edges of a node among `candidates`, whose distances are from that node. Sorts the candidates and drops
    /// those given twice.
    pub(crate) fn prune(
        &mut self,
        space: &Space,
        candidates: &mut Vec<Candidate>,
        degree: usize,
        alpha: f32,
        edges: &mut Vec<u32>,
    ) {
        edges.clear();
        candidates.sort_unstable_by(Candidate::order);
        candidates.dedup_by_key(|candidate| candidate.slot);
        candidates.truncate(CANDIDATES_MAX);
        self.factors.clear();
        self.factors.resize(candidates.len(), 0.0);
        let bound = alpha * alpha;
        self.keep_copies(candidates, degree / 4, edges);
        let mut limit = 1.0_f32;
        loop {
            self.pass(space, candidates, degree, limit, bound, edges);
            if limit >= bound || edges.len() >= degree {
                return;
            }
            limit = bound;
        }
    }

    /// Copies of the node itself make each other superfluous by the rule, but then all but one of them could not be found: a few stay.
    fn keep_copies(&mut self, candidates: &[Candidate], most: usize, edges: &mut Vec<u32>) {
        let copies = candidates.iter().take_while(|near| near.distance == 0.0);
        for (place, copy) in copies.enumerate() {
            self.factors[place] = f32::INFINITY;
            // The nearest one goes by the rule, and makes the others superfluous.
            if place == 0 {
                self.factors[place] = 0.0;
            } else if edges.len() < most {
                edges.push(copy.slot);
            }
        }
    }

    fn pass(
        &mut self,
        space: &Space,
        candidates: &[Candidate],
        degree: usize,
        limit: f32,
        bound: f32,
        edges: &mut Vec<u32>,
    ) {
        for place in 0..candidates.len() {
            if edges.len() >= degree {
                return;
            }
            if self.factors[place] >= limit {
                continue;
            }
            self.factors[place] = f32::INFINITY;
            let taken = candidates[place];
            edges.push(taken.slot);
            let rest = candidates[place + 1..].iter();
            for (factor, other) in self.factors[place + 1..].iter_mut().zip(rest) {
                if *factor >= bound {
                    continue;
                }
                let way = space.between(taken.slot, other.slot);
                let shorter = if way == 0.0 {
                    f32::INFINITY
                } else {
                    other.distance / way
                };
                *factor = factor.max(shorter);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distance::Kernels;
    use crate::distance::metric::Metric;

    fn prune(points: &[[f32; 2]], degree: usize, alpha: f32) -> Vec<u32> {
        let mut space = Space::new(Metric::Euclidean, 2, Kernels::SCALAR);
        space.grow(points.len());
        for (slot, point) in (0..).zip(points) {
            space.set(slot, point);
        }
        let slots = 1..u32::try_from(points.len()).unwrap();
        let mut candidates: Vec<_> = slots
            .map(|slot| Candidate::new(slot, space.between(0, slot)))
            .collect();
        let mut edges = Vec::new();
        Pruner::default().prune(&space, &mut candidates, degree, alpha, &mut edges);
        edges
    }

    #[test]
    fn alpha_compares_true_distances() {
        // From the origin to x = (d, 0) over c = (1, 0): x stays if alpha * (d - 1) > d.
        for (alpha, d, stays) in [
            (1.0, 100.0, false),
            (1.2, 5.9, false),
            (1.2, 6.1, true),
            (1.5, 2.9, false),
            (1.5, 3.1, true),
        ] {
            let edges = prune(&[[0.0, 0.0], [1.0, 0.0], [d, 0.0]], 8, alpha);
            let expected: &[u32] = if stays { &[1, 2] } else { &[1] };
            assert_eq!(edges, expected, "{alpha} {d}");
        }
    }

    #[test]
    fn strict_edges_come_first() {
        // 2 hides behind 1 for alpha 1 and not for 1.2; 3 is in another direction.
        let points = [[0.0, 0.0], [1.0, 0.0], [1.8, 0.9], [0.0, -5.0]];
        assert_eq!(prune(&points, 8, 1.0), [1, 3]);
        let edges = prune(&points, 8, 2.0);
        assert_eq!(edges[..2], [1, 3]);
        assert_eq!(prune(&points, 1, 1.2), [1]);
    }

    #[test]
    fn copies_stay_findable_and_leave_room() {
        let mut points = vec![[1.0, 1.0]; 40];
        points.extend([[9.0, 1.0], [-7.0, 1.0], [1.0, 9.0]]);
        let edges = prune(&points, 16, 1.2);
        let copies = edges.iter().filter(|slot| **slot < 40).count();
        assert_eq!(copies, 5);
        assert!(
            [40, 41, 42].iter().all(|slot| edges.contains(slot)),
            "{edges:?}"
        );
    }

    #[test]
    fn the_degree_is_a_bound() {
        let points: Vec<[f32; 2]> = (0_u8..100)
            .map(|n| {
                [
                    (f32::from(n) * 2.4).sin() * f32::from(n),
                    (f32::from(n) * 2.4).cos() * f32::from(n),
                ]
            })
            .collect();
        for degree in [1, 4, 32] {
            let edges = prune(&points, degree, 1.2);
            assert!(edges.len() <= degree && !edges.is_empty());
        }
    }
}
