//! tmp.
use std::collections::BTreeMap;
use serde::{Serialize, Deserialize};
use crate::counts::*;
use crate::sketch::Sketch;
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CellKey { pub service: ServiceRef, pub origin: Origin, pub sli: Sli, pub version: u32, pub edges_us: Vec<u64> }
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cell { pub counts: Counts, pub ladder: Vec<u64>, pub partial: bool }
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamShare { pub total: u64, pub newest: MinuteId }
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CellHour { pub minutes: BTreeMap<MinuteId, Cell>, pub sketch: Sketch, pub streams: BTreeMap<String, StreamShare> }
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HourBlock { pub hour: i64, pub series: BTreeMap<CellKey, CellHour> }
impl HourBlock {
    pub fn new(hour: i64) -> Self { Self { hour, series: BTreeMap::new() } }
    pub fn encode(&self) -> Vec<u8> { serde_json::to_vec(&(self.hour, self.series.iter().collect::<Vec<_>>())).unwrap() }
    pub fn decode(b: &[u8]) -> Result<Self, String> { let (hour, s): (i64, Vec<(CellKey, CellHour)>) = serde_json::from_slice(b).map_err(|e| e.to_string())?; Ok(Self { hour, series: s.into_iter().collect() }) }
}
