//! HTTP dates (RFC 9110 §5.6.7), as `Date` and `Retry-After` carry them.

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// Seconds since the Unix epoch of an HTTP date: the form that is sent today
/// (`Sun, 06 Nov 1994 08:49:37 GMT`), and the two that a recipient must still take
/// (`Sunday, 06-Nov-94 08:49:37 GMT`, `Sun Nov  6 08:49:37 1994`). The name of the day is not looked
/// at. `None` for anything else.
pub fn http_date(value: &[u8]) -> Option<i64> {
    let text = core::str::from_utf8(value).ok()?.trim();
    match text.split_once(", ") {
        Some((_, rest)) => {
            let rest = rest.strip_suffix(" GMT")?;
            let (date, time) = rest.rsplit_once(' ')?;
            let mut parts = date.split([' ', '-']);
            let (day, month, year) = (parts.next()?, parts.next()?, parts.next()?);
            if parts.next().is_some() {
                return None;
            }
            // "MUST interpret a timestamp that appears to be more than 50 years in the future as
            // representing the most recent year in the past": two digits mean this century to 2069.
            let year = match (year.len(), digits(year)?) {
                (2, short @ 0..70) => 2000 + short,
                (2, short) => 1900 + short,
                (4, year) => year,
                _ => return None,
            };
            seconds(year, month, digits(day)?, time)
        }
        None => {
            let mut parts = text.split_ascii_whitespace().skip(1);
            let (month, day) = (parts.next()?, parts.next()?);
            let (time, year) = (parts.next()?, parts.next()?);
            seconds(digits(year)?, month, digits(day)?, time)
        }
    }
}

fn digits(text: &str) -> Option<i64> {
    let plain = (1..=4).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

fn seconds(year: i64, month: &str, day: i64, time: &str) -> Option<i64> {
    let month = MONTHS.iter().position(|name| *name == month)? as i64 + 1;
    let mut parts = time.split(':');
    let (hour, minute) = (digits(parts.next()?)?, digits(parts.next()?)?);
    let second = digits(parts.next()?)?;
    let in_range = parts.next().is_none()
        && year >= 1900
        && (1..=31).contains(&day)
        && hour < 24
        && minute < 60
        // A leap second.
        && second <= 60;
    in_range.then(|| days(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second)
}

/// Days since the Unix epoch, by the civil calendar: years are counted from March, so that the leap
/// day is a year's last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    year * 365 + year / 4 - year / 100 + year / 400 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_in_each_form_and_what_is_none() {
        let table: [(&str, Option<i64>); 19] = [
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(784_111_777)),
            ("Sunday, 06-Nov-94 08:49:37 GMT", Some(784_111_777)),
            ("Sun Nov  6 08:49:37 1994", Some(784_111_777)),
            ("Thu, 01 Jan 1970 00:00:00 GMT", Some(0)),
            ("Tue, 29 Feb 2000 23:59:59 GMT", Some(951_868_799)),
            ("Wed, 01 Mar 2000 00:00:00 GMT", Some(951_868_800)),
            ("Tue, 21 Jul 2026 12:00:00 GMT", Some(1_784_635_200)),
            ("Fri, 31 Dec 9999 23:59:60 GMT", Some(253_402_300_800)),
            ("", None),
            ("7", None),
            ("Sun, 06 Nov 1994 08:49:37", None),
            ("Sun, 06 Nov 1994 08:49:37 CET", None),
            ("Sun, 06 Nov 1994 24:00:00 GMT", None),
            ("Sun, 00 Nov 1994 08:49:37 GMT", None),
            ("Sun, 06 nov 1994 08:49:37 GMT", None),
            ("Sun, 06 Nov 99999 08:49:37 GMT", None),
            ("Sun, 06 Nov 19-94 08:49:37 GMT", None),
            ("Sun, +6 Nov 1994 08:49:37 GMT", None),
            ("Sun, 06 Nov 1994 08:49:37:1 GMT", None),
        ];
        for (text, expected) in table {
            assert_eq!(http_date(text.as_bytes()), expected, "{text:?}");
        }
        assert_eq!(http_date(b"\xFF, 06 Nov 1994 08:49:37 GMT"), None);
    }
}
