//! How far the collectors have read, and what follows for the minutes of what they send.

use std::collections::BTreeMap;
use std::sync::Arc;

use slo::counts::MinuteId;

use super::{FORGET_AFTER_MINUTES, KEEP_UNMEASURED_MINUTES};

/// Number of a stream, or of a collector, while this process runs.
pub(super) type Id = u32;

/// Before every minute.
const EVER: MinuteId = MinuteId(i64::MIN);

/// How far was read.
#[derive(Clone, Debug, Default)]
pub(super) struct Reach {
    /// In the time of the events, everything that there is was read.
    pub(super) everything: bool,
    streams: Arc<BTreeMap<String, Id>>,
    /// Who sends each stream, by its number.
    owners: Arc<Vec<Option<Id>>>,
    by_name: BTreeMap<String, Id>,
    collectors: Vec<Collector>,
}

/// What is known of a collector.
#[derive(Clone, Debug, Default)]
pub(super) struct Collector {
    pub(super) name: String,
    /// Up to which minute (exclusive) it has read; nothing while it has never caught up.
    pub(super) read_to: Option<MinuteId>,
    /// Up to when (ms since 1970) its archive is complete, where it has one.
    pub(super) archived_to: Option<i64>,
    /// The node that it runs on, where it said so.
    pub(super) node: Option<String>,
    /// The minute in which its node was seen to be gone.
    gone: Option<MinuteId>,
    /// More of it was learned since the last look: the first minute that this may concern.
    moved: Option<MinuteId>,
}

impl Reach {
    /// Nothing is known; `everything` for the time of the events.
    pub(super) fn new(everything: bool) -> Self {
        Self { everything, ..Self::default() }
    }

    /// Collectors that have said something.
    pub(super) fn collectors(&self) -> impl Iterator<Item = &Collector> {
        self.by_name.values().map(|&id| &self.collectors[id as usize])
    }

    /// Collectors by name, each with how far it has read.
    pub(super) fn read(&self) -> impl Iterator<Item = (&Collector, MinuteId)> {
        self.collectors().filter_map(|collector| Some((collector, collector.read_to?)))
    }

    /// A collector, by its number.
    pub(super) fn get(&self, id: Id) -> &Collector {
        &self.collectors[id as usize]
    }

    /// Who sends a stream.
    pub(super) fn owner(&self, stream: Id) -> Option<Id> {
        self.owners.get(stream as usize).copied().flatten()
    }

    /// The number of a stream that is known.
    pub(super) fn known(&self, name: &str) -> Option<Id> {
        self.streams.get(name).copied()
    }

    /// A stream's number.
    pub(super) fn stream(&mut self, name: &str) -> Id {
        if let Some(id) = self.known(name) {
            return id;
        }
        let id = self.owners.len() as Id;
        Arc::make_mut(&mut self.owners).push(None);
        Arc::make_mut(&mut self.streams).insert(name.to_owned(), id);
        id
    }

    /// A collector, known from now on.
    pub(super) fn collector(&mut self, name: &str) -> &mut Collector {
        let id = self.id_of(name);
        &mut self.collectors[id as usize]
    }

    fn id_of(&mut self, name: &str) -> Id {
        if let Some(id) = self.by_name.get(name) {
            return *id;
        }
        let id = self.collectors.len() as Id;
        self.collectors.push(Collector { name: name.to_owned(), ..Collector::default() });
        self.by_name.insert(name.to_owned(), id);
        id
    }

    /// Whether a collector sends a stream already.
    pub(super) fn is_sent_by(&self, stream: &str, collector: &str) -> bool {
        let owner = self.known(stream).and_then(|stream| self.owner(stream));
        owner.is_some_and(|owner| self.get(owner).name == collector)
    }

    /// Whoever sent a stream last is the one to expect its minutes from.
    pub(super) fn sends(&mut self, collector: &str, stream: &str) {
        let (stream, sender) = (self.stream(stream), self.id_of(collector));
        match self.owner(stream) {
            Some(owner) if owner == sender => return,
            // What a stream that nobody has sent before may lack is looked for where its counts are.
            None => {}
            Some(owner) => {
                for id in [owner, sender] {
                    self.collectors[id as usize].concern(EVER);
                }
            }
        }
        Arc::make_mut(&mut self.owners)[stream as usize] = Some(sender);
    }

    /// Streams and collectors that are not known any more. Their numbers stay taken.
    pub(super) fn forget(&mut self, streams: &[String], collectors: &[String]) {
        for stream in streams {
            if let Some(id) = Arc::make_mut(&mut self.streams).remove(stream) {
                Arc::make_mut(&mut self.owners)[id as usize] = None;
            }
        }
        for collector in collectors {
            self.by_name.remove(collector);
        }
    }

    /// Names of streams that a collector sends.
    pub(super) fn streams_of(&self, collector: &str) -> impl Iterator<Item = Id> {
        let id = self.by_name.get(collector).copied();
        let ours = self.owners.iter().enumerate().filter(move |(_, owner)| owner.is_some() && **owner == id);
        ours.map(|(stream, _)| stream as Id)
    }

    /// The first minute that something learned since the last look may concern, of some collectors.
    pub(super) fn moved(&self, collectors: &[(Id, MinuteId)]) -> Option<MinuteId> {
        collectors.iter().filter_map(|(id, _)| self.get(*id).moved).min()
    }

    /// Everything that was learned has been looked at.
    pub(super) fn looked(&mut self) {
        self.collectors.iter_mut().for_each(|collector| collector.moved = None);
    }

    /// Whether anything was learned since the last look.
    pub(super) fn has_moved(&self) -> bool {
        self.collectors.iter().any(|collector| collector.moved.is_some())
    }

    /// Numbers of all collectors that have said how far they have read.
    pub(super) fn all(&self) -> Vec<(Id, MinuteId)> {
        self.by_name.values().filter_map(|&id| Some((id, self.get(id).read_to?))).collect()
    }

    /// Spans that somebody has not read: first the one that nobody has, then for each collector what lies behind it, until
    /// it is given up for those that went on. (What it lacked until then stays lacking: no data is never good.)
    pub(super) fn gaps(&self, collectors: &[(Id, MinuteId)], now: MinuteId) -> Vec<(MinuteId, MinuteId)> {
        let furthest = collectors.iter().map(|(_, to)| *to).max().unwrap_or(EVER);
        let nobody = (furthest.max(now.plus(-KEEP_UNMEASURED_MINUTES)), now);
        let behind = collectors.iter().map(|&(id, to)| {
            let gone = self.get(id).gone.filter(|gone| *gone >= to);
            let until = to.plus(FORGET_AFTER_MINUTES);
            (to, gone.map_or(until, |gone| gone.min(until)).min(furthest))
        });
        std::iter::once(nobody).chain(behind.filter(|(from, to)| from < to)).collect()
    }
}

impl Collector {
    /// It has read everything that ended before `minute`.
    pub(super) fn has_read(&mut self, minute: MinuteId) {
        if self.read_to.is_none_or(|before| before < minute) {
            self.concern(self.read_to.unwrap_or(EVER));
            self.read_to = Some(minute);
        }
    }

    /// Its node was seen to be gone at `at`.
    pub(super) fn give_up(&mut self, at: MinuteId) {
        self.concern(self.read_to.unwrap_or(EVER));
        self.gone = Some(at);
    }

    /// Whether it is not expected any more, because its node was seen to be gone since it has read to `to`.
    pub(super) fn is_given_up(&self, to: MinuteId) -> bool {
        self.gone.is_some_and(|gone| gone >= to)
    }

    /// Something of it was learned that may concern minutes from one on.
    fn concern(&mut self, minute: MinuteId) {
        self.moved = Some(self.moved.map_or(minute, |moved| moved.min(minute)));
    }
}
