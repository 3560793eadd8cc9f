#![doc = "x"]
pub mod model;
