//! The product on a real cluster, installed by its chart: `tests/real/kubernetes/test` brings one up and runs this in it.

mod cluster;
mod denied;
mod faults;
mod install;
mod load;
mod pods;
mod product;
