//! Distribution-based score fusion: scores count by their distance from the mean of their list, in standard deviations.

use std::cmp::Ordering;

/// What each hit of a list adds to its fused score: 0 at three sample standard deviations under the mean, 1 at three over it. Scores
/// beyond are not cut off.
pub(super) fn normalise(list: &[(u32, f32)]) -> Vec<f64> {
    let scores = || list.iter().map(|(_, score)| f64::from(*score));
    let Some(first) = list.first() else {
        return Vec::new();
    };
    // Asked of the scores themselves: their computed deviation may differ from zero by rounding alone.
    let same = |score: &f32| score.partial_cmp(&first.1).is_some_and(Ordering::is_eq);
    if list.iter().all(|(_, score)| same(score)) {
        return vec![0.5; list.len()];
    }
    #[expect(
        clippy::cast_precision_loss,
        reason = "a list is shorter than 2^52 hits"
    )]
    let count = list.len() as f64;
    let mean = scores().sum::<f64>() / count;
    let squares: f64 = scores().map(|score| (score - mean).powi(2)).sum();
    let deviation = (squares / (count - 1.0)).sqrt();
    scores()
        .map(|score| (score - (mean - 3.0 * deviation)) / (6.0 * deviation))
        .collect()
}
