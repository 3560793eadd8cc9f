//! One line `STEP n KEYWORD …` each into what the step does.

use pagar::model::{Action, AuthorityKind, DnsName, Scope, Sensitivity};

use super::message::{Message, Question};
use super::script::{Act, Ask, Expected, Mood, Order};
use super::words::{seconds, unhex, unquote};

/// The step of this keyword; lines that belong to it may follow.
pub(super) fn act(keyword: &str, rest: &[String], text: &str) -> Result<Act, String> {
    Ok(match keyword {
        "NOTICE" => Act::Notice(Box::new(order(rest, text)?)),
        "WITHDRAW" => match rest {
            [id] => Act::Withdraw(id.clone()),
            _ => return Err("WITHDRAW ID".into()),
        },
        "QUERY" => Act::Query(Box::new(ask(rest)?)),
        "CHECK_ANSWER" => Act::CheckAnswer(Box::new(expected(rest)?)),
        "TIME_PASSES" => {
            let [by, which @ ..] = rest else { return Err("TIME_PASSES SECONDS".into()) };
            let by = seconds(by)?;
            match which {
                [] if by >= 0 => Act::TimePasses { wall: by, monotonic: by },
                [clock] if clock == "wall" => Act::TimePasses { wall: by, monotonic: 0 },
                _ => return Err("TIME_PASSES SECONDS [wall]; only the wall clock goes back".into()),
            }
        }
        "FLUSH" => flush(rest)?,
        "UPSTREAM" => Act::Upstream(mood(rest)?, Vec::new()),
        "CHECK_UPSTREAM" => match rest {
            [] => Act::CheckUpstream(Vec::new()),
            [nothing] if nothing == "nothing" => Act::CheckUpstream(Vec::new()),
            _ => return Err("the questions follow as ASKED lines; or CHECK_UPSTREAM nothing".into()),
        },
        _ => {
            let [series, value] = rest else { return Err("CHECK_METRIC SERIES VALUE".into()) };
            Act::CheckMetric { series: series.clone(), value: value.clone() }
        }
    })
}

fn mood(rest: &[String]) -> Result<Mood, String> {
    match rest {
        [word] if word == "answers" => Ok(Mood::Answers),
        [word] if word == "silent" => Ok(Mood::Silent),
        [word] if word == "unreachable" => Ok(Mood::Unreachable),
        [word] if word == "dead" => Ok(Mood::Dead),
        [word] if word == "holds" => Ok(Mood::Holds),
        _ => Err("UPSTREAM answers | silent | unreachable | dead | holds".into()),
    }
}

fn flush(rest: &[String]) -> Result<Act, String> {
    let (name, subtree, count) = match rest {
        [name, count] => (name, false, count),
        [name, word, count] if word == "subtree" => (name, true, count),
        _ => return Err("FLUSH NAME [subtree] count=n".into()),
    };
    let count = count.strip_prefix("count=").and_then(|count| count.parse().ok());
    let name = DnsName::from_text(name).map_err(|error| format!("{name}: {error}"))?;
    Ok(Act::Flush { name, subtree, count: count.ok_or("FLUSH … count=n, a number of entries")? })
}

fn order(words: &[String], text: &str) -> Result<Order, String> {
    let mut order = Order {
        authority: String::new(),
        id: String::new(),
        kind: Some(AuthorityKind::Statutory),
        order: 0,
        action: Action::BlockPage,
        category: "scam".into(),
        sensitivity: Sensitivity::Public,
        from: 0,
        expires: None,
        targets: Vec::new(),
        refused: None,
        text: text.split_once("NOTICE").map_or(text, |(_, words)| words).trim().to_owned(),
    };
    for word in words {
        let (key, value) = word.split_once('=').ok_or_else(|| format!("\"{word}\": write key=value"))?;
        order.set(key, value)?;
    }
    if order.authority.is_empty() || order.id.is_empty() || order.targets.is_empty() {
        return Err("a NOTICE needs authority=, id= and a target, exact= or subtree=".into());
    }
    Ok(order)
}

impl Order {
    fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        let wrong = || format!("\"{value}\" is no value for {key}");
        match key {
            "authority" => self.authority = value.to_owned(),
            "id" => self.id = value.to_owned(),
            "kind" => {
                self.kind = match value {
                    "statutory" => Some(AuthorityKind::Statutory),
                    "operator" => Some(AuthorityKind::Operator),
                    "unknown" => None,
                    _ => return Err(wrong()),
                }
            }
            "order" => self.order = value.parse().map_err(|_| wrong())?,
            "action" => self.action = Action::from_word(value).ok_or_else(wrong)?,
            "category" => self.category = value.to_owned(),
            "sensitivity" => {
                let levels = [Sensitivity::Public, Sensitivity::Restricted, Sensitivity::Secret];
                self.sensitivity = levels.into_iter().find(|level| level.as_str() == value).ok_or_else(wrong)?;
            }
            "from" => self.from = seconds(value)?,
            "expires" => self.expires = Some(seconds(value)?),
            "exact" | "subtree" => {
                let scope = if key == "exact" { Scope::Exact } else { Scope::Subtree };
                self.targets.push((DnsName::from_text(value).map_err(|error| format!("{value}: {error}"))?, scope));
            }
            "refused" => self.refused = Some(unquote(value)),
            _ => return Err(format!("NOTICE knows no \"{key}\"")),
        }
        Ok(())
    }
}

fn ask(words: &[String]) -> Result<Ask, String> {
    let mut ask =
        Ask { message: Message::default(), raw: None, tcp: false, client: [127, 0, 0, 1].into(), label: String::new() };
    let rest = if words.first().is_some_and(|word| word == "RAW") {
        ask.raw = Some(Vec::new());
        &words[1..]
    } else {
        let (question, rest) = words.split_at_checked(3).ok_or("QUERY NAME CLASS TYPE …, or QUERY RAW HEX …")?;
        ask.message.questions.push(Question::from_words(question)?);
        rest
    };
    for (n, word) in rest.iter().enumerate() {
        match word.as_str() {
            "TCP" => ask.tcp = true,
            "UDP" => ask.tcp = false,
            label if label.starts_with("as=") => ask.label = label[3..].to_owned(),
            from if from.starts_with("from=") => {
                ask.client = from[5..].parse().map_err(|_| format!("\"{from}\": no address"))?;
            }
            digits if ask.raw.is_some() => ask.raw.get_or_insert_default().extend(unhex(digits)?),
            "OPT" => {
                ask.message.reply(&rest[n..])?;
                break;
            }
            word => {
                if !ask.message.word(word)? {
                    return Err(format!("QUERY knows no \"{word}\""));
                }
            }
        }
    }
    Ok(ask)
}

fn expected(words: &[String]) -> Result<Expected, String> {
    let mut expected = Expected::default();
    let words = match words {
        [first, rest @ ..] if first.starts_with("of=") => {
            expected.label = first[3..].to_owned();
            rest
        }
        words => words,
    };
    match words {
        [] => {}
        [word] if word == "NO_ANSWER" => expected.no_answer = true,
        [word] if word == "WAITING" => expected.waiting = true,
        [reply, words @ ..] if reply == "REPLY" => {
            let (octets, words): (Vec<_>, Vec<_>) = words.iter().cloned().partition(|word| word.starts_with("octets="));
            for word in octets {
                expected.octets = Some(word[7..].parse().map_err(|_| format!("\"{word}\": no number"))?);
            }
            expected.message.reply(&words)?;
        }
        _ => return Err("CHECK_ANSWER REPLY …, CHECK_ANSWER NO_ANSWER or CHECK_ANSWER WAITING".into()),
    }
    Ok(expected)
}
