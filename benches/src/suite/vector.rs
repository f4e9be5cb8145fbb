//! Vectors: building, searching at equal recall, opening.

use std::time::{Duration, Instant};

use upkv::Durability;

use super::{Bench, higher, lower};
use crate::Result;
use crate::engine::vector::VectorEngine;
#[cfg(feature = "peers-vector")]
use crate::engine::vector::hnsw_rs::HnswRs;
use crate::engine::vector::upvector::UpVector;
#[cfg(feature = "peers-vector")]
use crate::engine::vector::usearch::Usearch;
use crate::measure::Contender;
use crate::report::Goal;
use crate::workload::{Vectors, clustered, data_dir, half_array};

const K: usize = 10;
const RECALL: f64 = 0.95;
const QUERIES: usize = 1_000;

/// Measures the family.
pub fn run(bench: &mut Bench) -> Result<()> {
    let count = bench.effort.pick(50_000, 8_000) as usize;
    let data = Data::load(count)?;
    let engines = built(bench, &data)?;
    search(bench, &data, &engines)?;
    drop(engines);
    build(bench, &data)?;
    reopen(bench)?;
    docsearch(bench)
}

struct Data {
    name: String,
    base: Vectors,
    queries: Vectors,
    /// The exact answers.
    truth: Vec<Vec<u64>>,
}

impl Data {
    /// Sentence embeddings where there are some, else vectors drawn from clusters.
    fn load(count: usize) -> Result<Self> {
        let stored = data_dir().map(|dir| dir.join("wordnet"));
        let (name, base, queries) = if let Some(dir) = stored.filter(|dir| dir.is_dir()) {
            (
                "sentence embeddings",
                half_array(&dir.join("base.f16.npy"), count)?,
                half_array(&dir.join("queries.f16.npy"), QUERIES)?,
            )
        } else {
            let (base, queries) = clustered(7, count, QUERIES, 384, 300);
            ("clustered vectors", base, queries)
        };
        let truth = queries.iter().map(|query| base.nearest(query, K)).collect();
        let name = format!("{} {name} of {}", base.len(), base.dimensions);
        Ok(Self {
            name,
            base,
            queries,
            truth,
        })
    }

    fn recall(&self, engine: &dyn VectorEngine, effort: usize) -> Result<f64> {
        let mut found = Vec::new();
        let mut hits = 0;
        for (query, truth) in self.queries.iter().zip(&self.truth) {
            engine.search(query, K, effort, &mut found)?;
            hits += found.iter().filter(|id| truth.contains(id)).count();
        }
        Ok(hits as f64 / (self.truth.len() * K) as f64)
    }
}

/// An index over the data, and how much of it a search must look at.
struct Built {
    engine: Box<dyn VectorEngine>,
    effort: usize,
    recall: f64,
}

fn contenders(dimensions: usize) -> Result<Vec<Box<dyn VectorEngine>>> {
    Ok(vec![
        Box::new(UpVector::in_memory(dimensions)?),
        #[cfg(feature = "peers-vector")]
        Box::new(Usearch::new(false)),
        #[cfg(feature = "peers-vector")]
        Box::new(Usearch::new(true)),
        #[cfg(feature = "peers-vector")]
        Box::new(HnswRs::default()),
    ])
}

/// Every engine with the least effort that reaches the recall.
fn built(bench: &Bench, data: &Data) -> Result<Vec<Built>> {
    let mut all = Vec::new();
    for mut engine in contenders(data.base.dimensions)? {
        bench.progress(&format!("building {} for searches", engine.name()));
        engine.build(&data.base)?;
        let mut best = None;
        for effort in [10, 14, 20, 28, 40, 56, 80, 112, 160, 224, 320, 448, 640] {
            let recall = data.recall(&*engine, effort)?;
            best = Some((effort, recall));
            if recall >= RECALL {
                break;
            }
        }
        let (effort, recall) = best.ok_or("no effort was tried")?;
        all.push(Built {
            engine,
            effort,
            recall,
        });
    }
    Ok(all)
}

fn search(bench: &mut Bench, data: &Data, all: &[Built]) -> Result<()> {
    let qps = |one: &Built| -> Result<f64> {
        let mut found = Vec::new();
        let start = Instant::now();
        for query in data.queries.iter() {
            one.engine.search(query, K, one.effort, &mut found)?;
        }
        Ok(data.queries.len() as f64 / start.elapsed().as_secs_f64())
    };
    let name = |one: &Built| {
        format!(
            "{} L={} recall {:.3}",
            one.engine.name(),
            one.effort,
            one.recall
        )
    };
    let (ours, peers) = all.split_first().ok_or("no engine")?;
    bench.row(
        higher(
            format!(
                "searches, top {K}, recall {RECALL}, 1 thread, {}",
                data.name
            ),
            "1/s",
            Goal::None,
        ),
        Contender::new(name(ours), || qps(ours)),
        peers
            .iter()
            .map(|peer| Contender::new(name(peer), move || qps(peer)))
            .collect(),
    )?;
    let recall = ours.recall;
    bench.row(
        higher(
            format!("recall@{K} at the least effort that reaches {RECALL}"),
            "share",
            Goal::AtLeast(RECALL),
        ),
        Contender::new(name(ours), || Ok(recall)),
        Vec::new(),
    )
}

fn build(bench: &mut Bench, data: &Data) -> Result<()> {
    let part = data.base.prefix(bench.effort.pick(20_000, 6_000) as usize);
    let rate = |engine: &mut dyn VectorEngine| -> Result<f64> {
        let start = Instant::now();
        engine.build(&part)?;
        Ok(part.len() as f64 / start.elapsed().as_secs_f64())
    };
    let dimensions = part.dimensions;
    let name = format!(
        "vectors of {dimensions} built into an index of {}",
        part.len()
    );
    bench.row(
        higher(name, "1/s", Goal::None),
        Contender::new("up f32 R=32", || {
            rate(&mut UpVector::in_memory(dimensions)?)
        }),
        vec![
            #[cfg(feature = "peers-vector")]
            Contender::new("usearch f32 M=16", || rate(&mut Usearch::new(false))),
            #[cfg(feature = "peers-vector")]
            Contender::new("hnsw_rs f32 M=16", || rate(&mut HnswRs::default())),
        ],
    )
}

fn reopen(bench: &mut Bench) -> Result<()> {
    let dir = bench.fresh_dir("vectors")?;
    let level = Durability::Interval(Duration::from_secs(1));
    let count = bench.effort.pick(100_000, 10_000) as usize;
    let (base, _) = clustered(11, count, 1, 256, 300);
    bench.progress("writing an index to open");
    let mut full = UpVector::on_disk(&dir, base.dimensions, level)?;
    full.build(&base)?;
    full.store().checkpoint()?;
    full.store().close()?;
    drop(full);
    bench.row(
        lower(
            format!("open an index of {count} vectors of 256"),
            "ms",
            Goal::AtMost(1_000.0),
        ),
        Contender::new("up", || {
            let start = Instant::now();
            let index = UpVector::on_disk(&dir, 256, level)?;
            let took = start.elapsed();
            if index.len() != count {
                return Err(format!("{} of {count} vectors came back", index.len()).into());
            }
            index.store().close()?;
            Ok(took.as_secs_f64() * 1_000.0)
        }),
        Vec::new(),
    )?;
    bench.drop_dir("vectors")
}

/// The program of that name, as users run it: all five engines at once.
fn docsearch(bench: &mut Bench) -> Result<()> {
    let spec = higher(
        "chunks indexed by docsearch, Interval(1s)",
        "1/s",
        Goal::AtLeast(3_000.0),
    );
    let program = std::env::current_exe()?
        .with_file_name("examples")
        .join("docsearch");
    if !program.is_file() {
        bench.skip(
            spec,
            "cargo build --release --example docsearch comes first",
        );
        return Ok(());
    }
    let dir = bench.fresh_dir("docsearch")?;
    let seconds = bench.effort.pick(20, 5).to_string();
    let mut run = 0;
    let rate = || {
        run += 1;
        let store = dir.join(run.to_string());
        let mut command = std::process::Command::new(&program);
        command.arg("--store").arg(&store);
        let output = command.args(["--seconds", &seconds, "index"]).output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        let rate = text
            .lines()
            .find(|line| line.starts_with("indexed"))
            .and_then(|line| line.split_whitespace().rev().nth(1))
            .and_then(|rate| rate.replace(',', "").parse().ok());
        std::fs::remove_dir_all(&store)?;
        Ok(rate.ok_or_else(|| format!("docsearch says {text:?}"))?)
    };
    bench.row(spec, Contender::new("up", rate), Vec::new())?;
    bench.drop_dir("docsearch")
}
