//! `pagar notice revoke`: ends notices, or items of one: makes the revocation, signs it if a key is given, and hands it over
//! if a server is.

use std::path::PathBuf;

use clap::Args;
use jiff::Timestamp;

use super::super::keys;
use super::super::screen::Screen;
use super::draft::{Head, Item, Targets, checked, finish};
use super::push::{self, Delivery};
use crate::error::ExitError;
use crate::verify::jose::jws;

#[derive(Debug, Args)]
pub(in crate::cli) struct Options {
    #[command(flatten)]
    head: Head,
    /// The notices to end
    #[arg(long, value_name = "ID", required = true, num_args = 1..)]
    revokes: Vec<String>,
    /// End only these items of the one notice
    #[arg(long, value_name = "ITEM", num_args = 1..)]
    item: Vec<String>,
    /// Sign with this private key: a JWK
    #[arg(long, value_name = "FILE", requires = "out")]
    sign_with: Option<PathBuf>,
    /// Hand it to this running server, e.g. https://node.isp.example:8053
    #[arg(long, value_name = "URL", requires = "sign_with")]
    api: Option<String>,
    #[command(flatten)]
    delivery: Delivery,
}

pub(super) fn run(options: &Options, screen: Screen) -> Result<(), ExitError> {
    let now = Timestamp::now();
    let (mut draft, _) = options.head.begin("revoke", now)?;
    draft.revokes.clone_from(&options.revokes);
    draft.targets = Targets::Items(options.item.iter().map(|item| Item { item: item.clone() }).collect());
    let (Some(key), Some(out)) = (&options.sign_with, &options.head.out) else {
        return finish(&draft, options.head.out.as_deref());
    };
    let key = keys::signer(key, now)?;
    let text = checked(&draft)?;
    keys::write_new(out, &format!("{}\n", jws::sign(text.as_bytes(), &[&key])), 0o644)?;
    eprintln!("signed by {}", keys::one_line(key.public().kid()));
    match &options.api {
        Some(api) => push::files(std::slice::from_ref(out), api, &options.delivery, screen),
        None => Ok(()),
    }
}
