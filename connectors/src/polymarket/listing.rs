//! The venue's listing: which token is which outcome of which question.
//!
//! Two hosts have one. Gamma's `/markets` writes its lists as JSON inside strings, and mixes numbers as
//! text and bare (gamma-api.polymarket.com, 2026-11); it can leave out what is over. The CLOB's own has
//! every market that ever was, in pages of a thousand that name the next. Read once in a while, by a
//! command or by a strategy's own code: the connector itself needs only ids.

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

/// The cursor behind the CLOB's last page: "-1" in base64.
const LAST_PAGE: &str = "LTE=";

/// Path and query of a page at `https://clob.polymarket.com`; of the first one without a cursor.
pub fn clob_target(cursor: Option<&str>) -> String {
    match cursor {
        Some(cursor) => format!("/markets?next_cursor={cursor}"),
        None => "/markets".to_owned(),
    }
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

/// Reads a page of the CLOB's; gives the next one's cursor as well, `None` behind the last.
pub fn read_clob(body: &mut [u8]) -> Result<(Vec<Listed>, Option<String>), Error> {
    let unreadable = |text| Error::ours(ErrorKind::BadResponse, text);
    let tape = simd_json::to_tape(body).map_err(|_| unreadable("the listing is not JSON"))?;
    let page = tape.as_value();
    let rows = page.get("data").and_then(|rows| rows.into_array());
    let rows = rows.ok_or_else(|| unreadable("the listing has no data"))?;
    let next = page.get("next_cursor").and_then(|next| next.into_string());
    // It goes into a request as it is.
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"=-_".contains(&byte);
    let next = next.filter(|next| !next.is_empty() && *next != LAST_PAGE);
    let next = next.filter(|next| next.bytes().all(is_plain));
    let listed = rows.iter().filter_map(|row| read_clob_row(&row)).collect();
    Ok((listed, next.map(str::to_owned)))
}

fn read_clob_row(row: &Value<'_, '_>) -> Option<Listed> {
    let text = |of: &Value<'_, '_>, key: &str| of.get(key)?.into_string().map(str::to_owned);
    let number = |key: &str| tape::optional_number(&row.get(key)?).ok().flatten();
    let flag = |key: &str| {
        row.get(key)
            .and_then(|flag| flag.as_bool())
            .unwrap_or(false)
    };
    let tokens = row.get("tokens")?.into_array()?;
    let outcomes = tokens
        .iter()
        .filter_map(|token| Some((text(&token, "outcome")?, text(&token, "token_id")?)));
    // Markets of before the order book have tokens without ids.
    let outcomes: Vec<_> = outcomes.filter(|(_, id)| !id.is_empty()).collect();
    (!outcomes.is_empty()).then_some(())?;
    Some(Listed {
        question: text(row, "question")?,
        condition_id: text(row, "condition_id")?,
        outcomes,
        tick_size: number("minimum_tick_size"),
        qty_min: number("minimum_order_size"),
        neg_risk: flag("neg_risk"),
        is_open: flag("accepting_orders") && !flag("closed"),
    })
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

    #[test]
    fn the_clobs_pages_name_the_next() {
        let page = |cursor: &str| {
            format!(
                r#"{{"limit":1000,"count":2,"next_cursor":"{cursor}","data":[{{"question":"Up?","condition_id":"0x78","minimum_tick_size":0.001,"minimum_order_size":5,"accepting_orders":true,"closed":false,"neg_risk":true,"tokens":[{{"token_id":"71","outcome":"Up"}},{{"token_id":"52","outcome":"Down"}}]}},{{"question":"old","condition_id":"","tokens":[{{"token_id":"","outcome":"Yes"}}]}}]}}"#
            )
        };
        let read = |cursor: &str| read_clob(&mut page(cursor).into_bytes()).expect("a page");
        let (listed, next) = read("MTAwMA==");
        assert_eq!(next.as_deref(), Some("MTAwMA=="));
        let [one] = &listed[..] else {
            panic!("{listed:?}")
        };
        assert_eq!((one.outcomes.len(), one.condition_id.as_str()), (2, "0x78"));
        assert_eq!(one.tick_size, Number::parse(b"0.001").ok());
        assert!(one.is_open && one.neg_risk);
        for end in ["LTE=", "", "&x=1"] {
            assert_eq!(read(end).1, None, "{end}");
        }
        assert_eq!(clob_target(None), "/markets");
        assert_eq!(clob_target(Some("MTA=")), "/markets?next_cursor=MTA=");
    }
}
