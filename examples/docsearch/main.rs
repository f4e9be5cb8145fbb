//! Search over the documentation on this machine: `cargo run --release --example docsearch -- --help`.
//!
//! The program is in `examples/src/docsearch/`, where its tests reach it.

use std::process::ExitCode;

fn main() -> ExitCode {
    examples::docsearch::main(std::env::args_os())
}
