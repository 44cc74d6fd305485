//! `slo-engine bootstrap`: installs the index templates and shows what differed.

use std::path::PathBuf;

use clap::Args;
use search::Client;

use super::{Output, load};
use crate::bootstrap::{install, text};
use crate::failure::Failure;

/// Arguments of `bootstrap`.
#[derive(Debug, Args)]
pub(crate) struct BootstrapArgs {
    /// Configuration, YAML or TOML.
    #[arg(long)]
    config: PathBuf,
    /// Changes nothing; shows what would be changed.
    #[arg(long)]
    dry_run: bool,
    /// What to print on stdout.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

/// Installs what is wanted, or says what would be.
pub(crate) async fn main(args: &BootstrapArgs) -> Result<(), Failure> {
    let config = load(&args.config)?;
    let Some(elasticsearch) = &config.elasticsearch else {
        let file = args.config.display();
        return Err(Failure::Config(format!(
            "{file}: elasticsearch: this key is missing; name the servers in elasticsearch.endpoints"
        )));
    };
    let client = Client::new(&elasticsearch.client)?;
    let templates = install(&client, &config.environment, args.dry_run).await?;
    match args.output {
        Output::Text => print!("{}", text(&templates, args.dry_run)),
        Output::Json => println!("{}", serde_json::to_string_pretty(&templates)?),
    }
    Ok(())
}
