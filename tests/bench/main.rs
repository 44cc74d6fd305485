//! The bench: the collector beside its floor and beside rsyslog and syslog-ng, over the same lines into the same receiver.
//!
//! `tests/bench/run` fetches the peers, builds a release and starts this.

mod contender;
mod floor;
mod receiver;
mod table;
mod usage;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::time::timeout;

use contender::Contender;
use receiver::Receiver;
use usage::Usage;

/// Lines of the input, unless told otherwise.
const LINES: u64 = 400_000;

/// Runs of each contender that count.
const ROUNDS: usize = 5;

/// A run that takes longer has lost lines.
const LONGEST_RUN: Duration = Duration::from_secs(120);

/// What is to be measured.
struct Plan {
    lines: u64,
    rounds: usize,
    json: bool,
    /// Folder with the peers, as `tests/bench/peers` unpacks them.
    peers: Option<PathBuf>,
    collector: PathBuf,
}

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [mode, file, address] = &arguments[..]
        && mode == "floor"
    {
        return floor::ship(Path::new(file), address);
    }
    let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
    runtime.block_on(measure(&plan(&arguments)?))
}

fn plan(arguments: &[String]) -> anyhow::Result<Plan> {
    let program = std::env::current_exe().context("cannot find this program")?;
    let mut plan = Plan {
        lines: LINES,
        rounds: ROUNDS,
        json: false,
        peers: None,
        collector: program.with_file_name("headroom-collector"),
    };
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().with_context(|| format!("{argument} needs a value"));
        match argument.as_str() {
            "--lines" => plan.lines = value()?.parse().context("--lines is a number")?,
            "--rounds" => plan.rounds = value()?.parse().context("--rounds is a number")?,
            "--peers" => plan.peers = Some(value()?.into()),
            "--output" => plan.json = value()? == "json",
            _ => bail!("{argument} is none of: --lines N, --rounds N, --peers DIR, --output text|json"),
        }
    }
    Ok(plan)
}

/// Runs every contender in turn, again and again, so that a machine that grows slower meanwhile is as slow for all.
async fn measure(plan: &Plan) -> anyhow::Result<()> {
    let work = tempfile::tempdir().context("cannot make a folder for the input")?;
    let input = contender::Input::write(work.path(), plan.lines)?;
    let contenders = contender::all(plan);
    let mut usages: Vec<Vec<Usage>> = vec![Vec::new(); contenders.len()];
    // The first round warms the file cache up and does not count.
    for round in 0..=plan.rounds {
        for (at, contender) in contenders.iter().enumerate() {
            eprintln!("round {round} of {}: {}", plan.rounds, contender.name());
            let usage = run(contender, &input, plan.lines)
                .await
                .with_context(|| format!("{} failed", contender.name()))?;
            if round > 0 {
                usages[at].push(usage);
            }
        }
    }
    let names: Vec<&str> = contenders.iter().map(Contender::name).collect();
    println!(
        "{}",
        if plan.json {
            table::json(&names, &usages, plan.lines)?
        } else {
            table::text(&names, &usages, plan.lines)
        }
    );
    Ok(())
}

/// One run: from the start of the process to the last line in the receiver.
async fn run(contender: &Contender, input: &contender::Input, lines: u64) -> anyhow::Result<Usage> {
    let receiver = Receiver::start().await?;
    let state = tempfile::tempdir().context("cannot make a folder for state")?;
    let watch = usage::Watch::start();
    let mut child =
        contender.command(input, state.path(), receiver.address())?.spawn().context("cannot start it")?;
    let ended = timeout(LONGEST_RUN, async {
        tokio::select! {
            () = receiver.has(lines) => Ok(None),
            status = child.wait() => status.map(Some),
        }
    });
    let ended = ended.await.with_context(|| {
        format!("it has sent {} of {lines} lines after {LONGEST_RUN:?}", receiver.documents())
    })??;
    // The floor ends by itself, behind its last line.
    let usage = match ended {
        None => watch.of(child.id().context("it has ended")?)?,
        Some(status) => bail!("it ended with {status} after {} of {lines} lines", receiver.documents()),
    };
    child.kill().await.context("cannot end it")?;
    Ok(usage)
}
