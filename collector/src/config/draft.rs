//! What the files say, component by component: each proves its own keys here; how they hang together comes later.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use settings::{Node, Problem, Problems, Table};

use super::graph::Order;
use super::{Config, DEFAULT_API_ADDRESS, DEFAULT_DATA_DIR, Name};
use crate::sink::{Buffer, SinkConfig};
use crate::source::SourceConfig;
use crate::transform::TransformConfig;
use crate::unit_test::UnitTest;

/// One component as it is written; `config` is missing where a mistake was told.
pub(super) struct Component<'a, T> {
    pub(super) name: Name,
    pub(super) node: &'a Node,
    /// The texts of `inputs`, patterns among them.
    pub(super) inputs: Vec<&'a Node>,
    pub(super) config: Option<T>,
    /// Of a sink.
    buffer: Option<Buffer>,
}

/// All components of all files.
pub(super) struct Draft<'a> {
    data_dir: Option<(PathBuf, &'a Node)>,
    /// The address if it is enabled.
    api: Option<(Option<SocketAddr>, &'a Node)>,
    pub(super) sources: Vec<Component<'a, SourceConfig>>,
    pub(super) transforms: Vec<Component<'a, TransformConfig>>,
    pub(super) sinks: Vec<Component<'a, SinkConfig>>,
    tests: Vec<&'a Node>,
    /// The roots, to name a place for what is missing as a whole.
    pub(super) roots: &'a [Node],
}

/// How the keys of one kind of component are read: `type` to its configuration.
struct Kind<T> {
    names: &'static [&'static str],
    has_inputs: bool,
    has_buffer: bool,
    prove: fn(&str, &mut Table<'_>) -> Option<T>,
}

impl<'a> Draft<'a> {
    pub(super) fn read(roots: &'a [Node], problems: &'a Problems) -> Draft<'a> {
        let mut draft = Draft {
            data_dir: None,
            api: None,
            sources: Vec::new(),
            transforms: Vec::new(),
            sinks: Vec::new(),
            tests: Vec::new(),
            roots,
        };
        for root in roots {
            draft.read_file(root, problems);
        }
        draft.refuse_repeated_names(problems);
        draft.refuse_other_clusters(problems);
        draft
    }

    fn read_file(&mut self, root: &'a Node, problems: &'a Problems) {
        let mut table = Table::new(root, problems);
        self.read_data_dir(&mut table, problems);
        self.read_api(&mut table, problems);
        let sources = Kind::new(SourceConfig::KINDS, false, false, SourceConfig::prove);
        let transforms = Kind::new(TransformConfig::KINDS, true, false, TransformConfig::prove);
        let sinks = Kind::new(SinkConfig::KINDS, true, true, SinkConfig::prove);
        self.sources.extend(sources.read(table.table("sources"), problems));
        self.transforms.extend(transforms.read(table.table("transforms"), problems));
        self.sinks.extend(sinks.read(table.table("sinks"), problems));
        self.tests.extend(table.list("tests"));
        table.finish();
    }

    fn read_data_dir(&mut self, table: &mut Table<'a>, problems: &Problems) {
        let Some(node) = table.node("data_dir") else { return };
        let path = PathBuf::from(table.required_string("data_dir"));
        match &self.data_dir {
            Some((first, at)) if *first != path => {
                let message = format!("another directory than the one in {}:{}", at.file, at.line);
                problems.push(Problem::at(node, message));
            }
            _ => self.data_dir = Some((path, node)),
        }
    }

    fn read_api(&mut self, table: &mut Table<'a>, problems: &Problems) {
        let Some(mut api) = table.table("api") else { return };
        let enabled = api.bool_or("enabled", false);
        let address = api.string_or("address", DEFAULT_API_ADDRESS);
        let parsed = address.parse();
        if parsed.is_err() {
            let message = format!("{address:?} is no IP address with a port, such as {DEFAULT_API_ADDRESS}");
            api.problem("address", message);
        }
        let (node, read) = (api.place(), parsed.ok().filter(|_| enabled));
        api.finish();
        match &self.api {
            Some((first, at)) if *first != read => {
                let message = format!("another api than the one in {}:{}", at.file, at.line);
                problems.push(Problem::at(node, message));
            }
            _ => self.api = Some((read, node)),
        }
    }

    fn refuse_repeated_names(&self, problems: &Problems) {
        let mut first: BTreeMap<&str, &Node> = BTreeMap::new();
        for (name, node) in self.nodes() {
            match first.get(&**name) {
                Some(at) => {
                    let message = format!(
                        "a second component with this name; the first is {} in {}:{}",
                        at.path, at.file, at.line
                    );
                    problems.push(Problem::at(node, message));
                }
                None => {
                    first.insert(name, node);
                }
            }
        }
    }

    /// What is known of the cluster lies in one file, and the engine is told one node.
    fn refuse_other_clusters(&self, problems: &Problems) {
        let of = |source: &Component<'a, SourceConfig>| {
            Some((source.node, source.config.as_ref()?.cluster()?.clone()))
        };
        let mut clusters = self.sources.iter().filter_map(of);
        let Some((at, first)) = clusters.next() else { return };
        for (node, _) in clusters.filter(|(_, cluster)| *cluster != first) {
            let message =
                format!("another node or cluster than that of {}; there is one for all sources", at.path);
            problems.push(Problem::at(node, message));
        }
    }

    /// Name and place of every component: sources, transforms, sinks.
    fn nodes(&self) -> impl Iterator<Item = (&Name, &'a Node)> {
        let sources = self.sources.iter().map(|component| (&component.name, component.node));
        let transforms = self.transforms.iter().map(|component| (&component.name, component.node));
        let sinks = self.sinks.iter().map(|component| (&component.name, component.node));
        sources.chain(transforms).chain(sinks)
    }

    /// The configuration, without what was refused.
    pub(super) fn into_config(self, order: &Order, problems: &Problems) -> Config {
        let names: Vec<Name> = self.transforms.iter().map(|component| component.name.clone()).collect();
        let tests = self.tests.iter().filter_map(|node| UnitTest::prove(node, &names, problems)).collect();
        let mut warnings = order.warnings.clone();
        let mut by_name: BTreeMap<Name, TransformConfig> = BTreeMap::new();
        for component in self.transforms {
            if let Some(config) = component.config {
                warnings.extend_from_slice(config.warnings());
                by_name.insert(component.name, config);
            }
        }
        let transform = |name: &Name| Some((name.clone(), order.inputs_of(name), by_name.remove(name)?));
        warnings.sort();
        Config {
            data_dir: self.data_dir.map_or_else(|| PathBuf::from(DEFAULT_DATA_DIR), |(path, _)| path),
            api: self.api.and_then(|(address, _)| address),
            transforms: order.transforms.iter().filter_map(transform).collect(),
            buffers: self.sinks.iter().filter_map(|c| Some((c.name.clone(), c.buffer?))).collect(),
            sources: self.sources.into_iter().filter_map(|c| Some((c.name, c.config?))).collect(),
            sinks: self
                .sinks
                .into_iter()
                .filter_map(|c| Some((c.name.clone(), order.inputs_of(&c.name), c.config?)))
                .collect(),
            tests,
            warnings,
        }
    }
}

impl<T> Kind<T> {
    fn new(
        names: &'static [&'static str],
        has_inputs: bool,
        has_buffer: bool,
        prove: fn(&str, &mut Table<'_>) -> Option<T>,
    ) -> Self {
        Self { names, has_inputs, has_buffer, prove }
    }

    fn read<'a>(&self, table: Option<Table<'a>>, problems: &'a Problems) -> Vec<Component<'a, T>> {
        let Some(mut table) = table else { return Vec::new() };
        table.entries().iter().map(|(name, node)| self.component(name, node, problems)).collect()
    }

    fn component<'a>(&self, name: &str, node: &'a Node, problems: &'a Problems) -> Component<'a, T> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        if name.is_empty() || !name.bytes().all(allowed) {
            let message = format!("{name:?} cannot name a component; use letters, digits, _ and -");
            problems.push(Problem::at(node, message));
        }
        let mut table = Table::new(node, problems);
        let kind = table.one_of("type", self.names, None);
        let inputs = if self.has_inputs { table.texts("inputs") } else { Vec::new() };
        let config = kind.and_then(|kind| (self.prove)(kind, &mut table));
        let buffer = (self.has_buffer && kind.is_some()).then(|| Buffer::prove(&mut table));
        // Of a type that nobody knows, no key is known either.
        if kind.is_some() {
            table.finish();
        }
        Component { name: name.into(), node, inputs, config, buffer }
    }
}
