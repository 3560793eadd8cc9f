//! [`Family`]: one metric's name, help, type and labels, and the series built from them at scrape.
//!
//! For metrics whose values live in our own [`super::counters`] or in `/proc` and not in `prometheus` types.

use std::collections::HashMap;

use prometheus::core::Desc;
use prometheus::proto::{self, Bucket, LabelPair, Metric, MetricFamily, MetricType};

use super::counters::{BUCKETS_US, Histogram};

/// What never changes about a metric.
#[derive(Clone, Copy, Debug)]
pub(super) struct Family {
    pub(super) name: &'static str,
    pub(super) help: &'static str,
    pub(super) kind: MetricType,
    /// In alphabetical order, as `prometheus` writes those of its own types.
    pub(super) labels: &'static [&'static str],
}

impl Family {
    /// What the registry compares names by.
    pub(super) fn desc(&self) -> prometheus::Result<Desc> {
        let labels = self.labels.iter().map(|label| (*label).to_owned()).collect();
        Desc::new(self.name.to_owned(), self.help.to_owned(), labels, HashMap::new())
    }

    /// The family with these series.
    pub(super) fn with(&self, series: Vec<Metric>) -> MetricFamily {
        let mut family = MetricFamily::default();
        family.set_name(self.name.to_owned());
        family.set_help(self.help.to_owned());
        family.set_field_type(self.kind);
        family.set_metric(series);
        family
    }

    /// A series of a counter or gauge; `values` in the order of the labels.
    pub(super) fn value(&self, values: &[&str], value: f64) -> Metric {
        let mut metric = Metric::from_label(self.pairs(values));
        match self.kind {
            MetricType::COUNTER => {
                let mut counter = proto::Counter::default();
                counter.set_value(value);
                metric.set_counter(counter);
            }
            _ => {
                let mut gauge = proto::Gauge::default();
                gauge.set_value(value);
                metric.set_gauge(gauge);
            }
        }
        metric
    }

    /// A series of a histogram: the blocks of all threads added up, buckets made cumulative, microseconds made seconds.
    pub(super) fn histogram<'a>(&self, values: &[&str], blocks: impl Iterator<Item = &'a Histogram>) -> Metric {
        let mut counts = [0; BUCKETS_US.len() + 1];
        let mut sum_us = 0;
        for block in blocks {
            counts.iter_mut().zip(&block.buckets).for_each(|(sum, bucket)| *sum += bucket.get());
            sum_us += block.sum_us.get();
        }
        let mut cumulative = 0;
        let bucket = |(bound, count): (&u64, &u64)| {
            cumulative += count;
            let mut bucket = Bucket::default();
            bucket.set_upper_bound(seconds(*bound));
            bucket.set_cumulative_count(cumulative);
            bucket
        };
        let mut histogram = proto::Histogram::default();
        histogram.set_bucket(BUCKETS_US.iter().zip(&counts).map(bucket).collect());
        histogram.set_sample_count(counts.iter().sum()); // from the same reading, so `+Inf` never contradicts a bucket
        histogram.set_sample_sum(seconds(sum_us));
        let mut metric = Metric::from_label(self.pairs(values));
        metric.set_histogram(histogram);
        metric
    }

    fn pairs(&self, values: &[&str]) -> Vec<LabelPair> {
        debug_assert_eq!(self.labels.len(), values.len(), "{}", self.name);
        let pair = |(name, value): (&&str, &&str)| {
            let mut pair = LabelPair::default();
            pair.set_name((*name).to_owned());
            pair.set_value((*value).to_owned());
            pair
        };
        self.labels.iter().zip(values).map(pair).collect()
    }
}

fn seconds(us: u64) -> f64 {
    us as f64 / 1e6
}
