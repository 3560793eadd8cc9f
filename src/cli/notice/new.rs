//! `pagar notice new`: writes an unsigned notice from options and a list of names.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Args;
use jiff::Timestamp;

use super::draft::{Appeal, Draft, Head, Targets, When, finish, parse_when};
use super::input::{has_errors, lines};
use super::names::{self, Entry, scope_of};
use crate::error::ExitError;
use crate::ingest::format::notice::MAX_SIZE;
use crate::model::{Action, Scope};

#[derive(Debug, Args)]
pub(in crate::cli) struct Options {
    #[command(flatten)]
    head: Head,
    /// What kind of matter it is about: a word the authority has chosen, e.g. scam
    #[arg(long, value_name = "WORD", required_unless_present_any = ["suspends", "resumes"])]
    category: Option<String>,
    /// Who may see the names; default: public
    #[arg(long, value_name = "LEVEL", value_parser = ["public", "restricted", "secret"])]
    sensitivity: Option<String>,
    /// What listed names are answered with
    #[arg(long, value_name = "ACTION", default_value = "block-page", value_parser = Action::ALL.map(Action::as_str))]
    action: String,
    /// How far names reach that say nothing of it: exact, or subtree for all below them too
    #[arg(long, value_name = "SCOPE", value_parser = ["exact", "subtree"])]
    scope: Option<String>,
    /// When it ends: a time (RFC 3339), or a span from its issue such as 90d; default: when it is revoked
    #[arg(long, value_name = "TIME", value_parser = parse_when)]
    expires: Option<When>,
    /// By when it must be carried out: a time, or a span from its issue such as 6h
    #[arg(long, value_name = "TIME", value_parser = parse_when)]
    deadline: Option<When>,
    /// When the authority looks at it again: a time, or a span from its issue; nothing ends by that
    #[arg(long, value_name = "TIME", value_parser = parse_when)]
    review: Option<When>,
    /// mailto: or tel: of the authority; may be given again
    #[arg(long, value_name = "URI")]
    contact: Vec<String>,
    /// Who hears an appeal
    #[arg(long, value_name = "BODY")]
    appeal: Option<String>,
    /// Where to appeal
    #[arg(long, value_name = "URI", requires = "appeal")]
    appeal_uri: Option<String>,
    /// What the block page says in Malay
    #[arg(long, value_name = "TEXT")]
    text_ms: Option<String>,
    /// What the block page says in English
    #[arg(long, value_name = "TEXT")]
    text_en: Option<String>,
    /// Replace the targets of this notice by these
    #[arg(long, value_name = "ID", conflicts_with_all = ["suspends", "resumes"])]
    amends: Option<String>,
    /// Suspend these notices; takes no names
    #[arg(long, value_name = "ID", num_args = 1.., conflicts_with_all = RESTRICTING)]
    suspends: Vec<String>,
    /// Resume these notices; takes no names
    #[arg(long, value_name = "ID", num_args = 1.., conflicts_with_all = RESTRICTING, conflicts_with = "suspends")]
    resumes: Vec<String>,
    /// Take the names from a CSV with the columns item, name and scope, or with names alone
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Names to restrict
    #[arg(value_name = "NAME")]
    names: Vec<String>,
}

/// What has no place in a notice that lists no names.
const RESTRICTING: [&str; 9] =
    ["category", "sensitivity", "scope", "expires", "deadline", "review", "appeal", "csv", "names"];

pub(super) fn run(options: &Options) -> Result<(), ExitError> {
    let draft = drafted(options, Timestamp::now())?;
    finish(&draft, options.head.out.as_deref())
}

fn drafted(options: &Options, now: Timestamp) -> Result<Draft, ExitError> {
    let kind = match (&options.amends, options.suspends.is_empty(), options.resumes.is_empty()) {
        (Some(_), ..) => "amend",
        (None, false, _) => "suspend",
        (None, _, false) => "resume",
        (None, true, true) => "restrict",
    };
    let (mut draft, clock) = options.head.begin(kind, now)?;
    draft.suspends.clone_from(&options.suspends);
    draft.resumes.clone_from(&options.resumes);
    draft.contact.clone_from(&options.contact);
    draft.text.extend(options.text_ms.clone().map(|text| ("ms", text)));
    draft.text.extend(options.text_en.clone().map(|text| ("en", text)));
    if ["suspend", "resume"].contains(&kind) {
        return Ok(draft);
    }
    draft.amends.clone_from(&options.amends);
    draft.category.clone_from(&options.category);
    draft.sensitivity.clone_from(&options.sensitivity);
    draft.action = Some(options.action.clone());
    draft.deadline_at = clock.time(options.deadline.as_ref(), "--deadline")?;
    draft.expires_at = clock.time(options.expires.as_ref(), "--expires")?;
    draft.review_by = clock.time(options.review.as_ref(), "--review")?;
    draft.appeal = options.appeal.as_ref().map(|body| Appeal { body: body.clone(), uri: options.appeal_uri.clone() });
    draft.targets = Targets::Names(targets(options)?);
    Ok(draft)
}

/// The targets of the command line and the CSV; what was changed in them is said, and nothing is written if one is refused.
fn targets(options: &Options) -> Result<Vec<names::Target>, ExitError> {
    let mut entries = Entry::of_arguments(&options.names);
    if let Some(path) = &options.csv {
        entries.extend(from_csv(path)?);
    }
    if entries.is_empty() {
        return Err(ExitError::Config("no names are given: write them behind the options, or --csv FILE".to_owned()));
    }
    let scope: Option<Scope> = options.scope.as_deref().and_then(scope_of);
    let may_be_shown = options.sensitivity.as_deref() != Some("secret");
    let (targets, problems) = names::targets(&entries, scope, may_be_shown);
    if has_errors(&problems) {
        return Err(ExitError::Data(format!("{}nothing is written: correct these first", lines(&problems))));
    }
    eprint!("{}", lines(&problems));
    Ok(targets)
}

fn from_csv(path: &Path) -> Result<Vec<Entry>, ExitError> {
    let mut octets = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MAX_SIZE as u64 + 1).read_to_end(&mut octets));
    read.map_err(|error| ExitError::Data(format!("{}: {error}", path.display())))?;
    if octets.len() > MAX_SIZE {
        return Err(ExitError::Data(crate::ingest::format::notice::too_large(path).to_string()));
    }
    names::of_csv(&octets, path).map_err(|problem| ExitError::Data(problem.to_string()))
}
