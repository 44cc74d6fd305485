//! `slo-engine validate`: proves a configuration and what it names, and starts nothing.

use std::path::PathBuf;

use serde::Serialize;
use settings::{Problem, Problems};

use super::{Output, env};
use crate::config::Config;
use crate::failure::Failure;

/// Arguments of `validate`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ValidateArgs {
    /// Configuration, YAML or TOML.
    #[arg(long)]
    config: PathBuf,
    /// What to print on stdout; mistakes are told on stderr too.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

/// What is said of a configuration.
#[derive(Debug, Serialize)]
struct Verdict<'a> {
    file: String,
    valid: bool,
    problems: Vec<Mistake<'a>>,
}

/// A mistake with its place; line 0 means the whole file.
#[derive(Debug, Serialize)]
struct Mistake<'a> {
    file: &'a str,
    line: usize,
    path: &'a str,
    message: &'a str,
}

/// Says that a configuration is valid, or refuses it with every mistake.
pub(crate) fn main(args: &ValidateArgs) -> Result<(), Failure> {
    let problems = match Config::load(&args.config, &env) {
        Ok(_) => Problems::default(),
        Err(problems) => problems,
    };
    let (told, problems) = (problems.to_string(), problems.into_vec());
    let file = args.config.display().to_string();
    match args.output {
        Output::Json => println!("{}", serde_json::to_string_pretty(&verdict(file, &problems))?),
        Output::Text if problems.is_empty() => println!("{file} is valid"),
        Output::Text => {}
    }
    if problems.is_empty() { Ok(()) } else { Err(Failure::Config(told)) }
}

fn verdict(file: String, problems: &[Problem]) -> Verdict<'_> {
    let mistakes = problems.iter().map(|Problem { file, line, path, message }| Mistake {
        file,
        line: *line,
        path,
        message,
    });
    Verdict { file, valid: problems.is_empty(), problems: mistakes.collect() }
}
