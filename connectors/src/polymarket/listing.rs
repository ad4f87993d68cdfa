//! The venue's listing: which token is which outcome of which question.
//!
//! Gamma's `/markets` writes its lists as JSON inside strings, and mixes numbers as text and bare
//! (gamma-api.polymarket.com, 2026-11). Read once in a while, by a command or by a strategy's own code:
//! the connector itself needs only ids.

use simd_json::prelude::*;
use simd_json::tape::Value;

use super::{parse::Number, tape};
use crate::error::{Error, ErrorKind};

/// Markets on one page, the most that Gamma gives.
pub const PAGE: usize = 100;

/// Path and query of a page of open markets at `https://gamma-api.polymarket.com`.
pub fn target(page: usize) -> String {
    let offset = page.saturating_mul(PAGE);
    format!("/markets?active=true&closed=false&limit={PAGE}&offset={offset}")
}

/// One market: a question with its outcomes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// What is asked.
    pub question: String,
    /// The market's id on the chain.
    pub condition_id: String,
    /// Outcomes by name, each with its token's id.
    pub outcomes: Vec<(String, String)>,
    /// Smallest step of a price.
    pub tick_size: Option<Number>,
    /// Least size of an order, in shares.
    pub qty_min: Option<Number>,
    /// Whether it is one of several of which exactly one comes true.
    pub neg_risk: bool,
    /// Whether orders are taken.
    pub is_open: bool,
}

/// Reads a page; markets without tokens (of before the order book) are left out.
pub fn read(body: &mut [u8]) -> Result<Vec<Listed>, Error> {
    let unreadable = |text| Error::ours(ErrorKind::BadResponse, text);
    let tape = simd_json::to_tape(body).map_err(|_| unreadable("the listing is not JSON"))?;
    let page = tape.as_value();
    let rows = page
        .as_array()
        .ok_or_else(|| unreadable("the listing is no list"))?;
    Ok(rows.iter().filter_map(|row| read_row(&row)).collect())
}

fn read_row(row: &Value<'_, '_>) -> Option<Listed> {
    let text = |key: &str| row.get(key)?.into_string().map(str::to_owned);
    let number = |key: &str| tape::optional_number(&row.get(key)?).ok().flatten();
    let flag = |key: &str| row.get(key).and_then(|flag| flag.as_bool());
    let names = strings(&text("outcomes")?)?;
    let tokens = strings(&text("clobTokenIds")?)?;
    Some(Listed {
        question: text("question")?,
        condition_id: text("conditionId")?,
        outcomes: names.into_iter().zip(tokens).collect(),
        tick_size: number("orderPriceMinTickSize"),
        qty_min: number("orderMinSize"),
        neg_risk: flag("negRisk").unwrap_or(false),
        is_open: flag("acceptingOrders").unwrap_or(false) && !flag("closed").unwrap_or(false),
    })
}

/// A list of texts inside a text.
fn strings(text: &str) -> Option<Vec<String>> {
    let mut bytes = text.as_bytes().to_vec();
    let tape = simd_json::to_tape(&mut bytes).ok()?;
    let list = tape.as_value();
    let list = list.as_array()?;
    list.iter()
        .map(|one| one.into_string().map(str::to_owned))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_inside_strings_are_read() {
        let mut body = br#"[{"question":"Up or \"Down\"?","conditionId":"0x78","outcomes":"[\"Up\", \"Down\"]","clobTokenIds":"[\"71\", \"52\"]","orderPriceMinTickSize":0.01,"orderMinSize":5,"acceptingOrders":true,"negRisk":false},{"question":"old","conditionId":"0x1","outcomes":"[\"Yes\"]"}]"#
            .to_vec();
        let listed = read(&mut body).expect("a page");
        assert_eq!(listed.len(), 1);
        let one = &listed[0];
        assert_eq!(one.question, "Up or \"Down\"?");
        let pair = |name: &str, token: &str| (name.to_owned(), token.to_owned());
        assert_eq!(one.outcomes, [pair("Up", "71"), pair("Down", "52")]);
        assert_eq!(one.tick_size, Number::parse(b"0.01").ok());
        assert!(one.is_open && !one.neg_risk);
        assert!(read(&mut b"{}".to_vec()).is_err());
    }
}
