//! What was found, and how overlapping findings become spans that only touch.

/// A kind of identifier, after the letters of 45 CFR 164.514(b)(2)(i).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// (A) Names.
    Name,
    /// (B) Geographic subdivisions smaller than a State.
    Geo,
    /// (C) Elements of dates finer than a year.
    Date,
    /// (C) Ages over 89.
    Age,
    /// (D) Telephone numbers.
    Phone,
    /// (E) Fax numbers.
    Fax,
    /// (F) Electronic mail addresses.
    Email,
    /// (G) Social security numbers.
    Ssn,
    /// (H) Medical record numbers.
    Mrn,
    /// (I) Health plan beneficiary numbers.
    HealthPlan,
    /// (J) Account numbers.
    Account,
    /// (K) Certificate and license numbers.
    License,
    /// (L) Vehicle identifiers, serial and license plate numbers.
    Vehicle,
    /// (M) Device identifiers and serial numbers.
    Device,
    /// (N) Web addresses.
    Url,
    /// (O) Internet addresses.
    Ip,
    /// (P) Biometric identifiers.
    Biometric,
    /// (Q) Full-face photographs: here, references to them.
    Photo,
    /// (R) Any other unique identifying number, characteristic or code.
    Id,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 19] = [
        Self::Name,
        Self::Geo,
        Self::Date,
        Self::Age,
        Self::Phone,
        Self::Fax,
        Self::Email,
        Self::Ssn,
        Self::Mrn,
        Self::HealthPlan,
        Self::Account,
        Self::License,
        Self::Vehicle,
        Self::Device,
        Self::Url,
        Self::Ip,
        Self::Biometric,
        Self::Photo,
        Self::Id,
    ];

    /// The name that spans and settings carry.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Geo => "geo",
            Self::Date => "date",
            Self::Age => "age",
            Self::Phone => "phone",
            Self::Fax => "fax",
            Self::Email => "email",
            Self::Ssn => "ssn",
            Self::Mrn => "mrn",
            Self::HealthPlan => "health-plan",
            Self::Account => "account",
            Self::License => "license",
            Self::Vehicle => "vehicle",
            Self::Device => "device",
            Self::Url => "url",
            Self::Ip => "ip",
            Self::Biometric => "biometric",
            Self::Photo => "photo",
            Self::Id => "id",
        }
    }

    /// The kind of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

/// One finding in one text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Found {
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
    /// What it is.
    pub kind: Kind,
    /// 0 to 1.
    pub confidence: f32,
    /// The rule that found it.
    pub rule: &'static str,
}

impl Found {
    const fn len(&self) -> usize {
        self.end.saturating_sub(self.start)
    }

    fn is_of_record(&self) -> bool {
        self.rule.starts_with(crate::record::RULE)
    }

    /// Whether `longer`, which covers it, makes it go. What the record names stays, but in an address of the net, which is
    /// one identifier.
    fn yields_to(&self, longer: &Self) -> bool {
        let is_whole = matches!(longer.kind, Kind::Email | Kind::Url | Kind::Ip);
        longer.confidence + SURER >= self.confidence
            && (!self.is_of_record() || longer.is_of_record() || is_whole)
    }

    const fn covers(&self, other: &Self) -> bool {
        self.start <= other.start && other.end <= self.end
    }
}

/// How much surer a finding inside a longer one must be, to stand against it.
const SURER: f32 = 0.25;

/// Sorts findings and resolves overlaps, so that every byte which any of them covers stays covered by exactly one.
#[must_use]
pub(crate) fn settle(text: &str, mut found: Vec<Found>) -> Vec<Found> {
    found.sort_by_key(|one| one.start);
    let mut settled = Vec::with_capacity(found.len());
    let mut rest = found.as_mut_slice();
    while let Some(first) = rest.first() {
        // Findings that touch none outside their group settle among themselves: most groups are small.
        let mut reach = first.end;
        let group = rest
            .iter()
            .take_while(|one| {
                let inside = one.start < reach || one.start == first.start;
                reach = reach.max(one.end);
                inside
            })
            .count();
        let (group, others) = rest.split_at_mut(group);
        settle_group(text, group, &mut settled);
        rest = others;
    }
    join(text, settled)
}

/// Resolves the overlaps of `group`, which is sorted by start.
fn settle_group(text: &str, group: &mut [Found], settled: &mut Vec<Found>) {
    let tells = |one: &Found| {
        text.get(one.start..one.end)
            .is_some_and(|part| part.contains(char::is_alphanumeric))
    };
    if let [alone] = group {
        settled.extend(Some(*alone).filter(tells));
        return;
    }
    // Longest first: what stands inside a longer finding (a date in a web address) goes, unless it is much surer.
    group.sort_by(|a, b| {
        b.len()
            .cmp(&a.len())
            .then_with(|| b.confidence.total_cmp(&a.confidence))
            .then_with(|| a.start.cmp(&b.start))
            .then_with(|| a.rule.cmp(b.rule))
    });
    let mut kept: Vec<Found> = Vec::with_capacity(group.len());
    for one in group {
        if !kept
            .iter()
            .any(|longer| longer.covers(one) && one.yields_to(longer))
        {
            kept.push(*one);
        }
    }
    kept.sort_by(|a, b| {
        b.is_of_record()
            .cmp(&a.is_of_record())
            .then_with(|| b.confidence.total_cmp(&a.confidence))
            .then_with(|| b.len().cmp(&a.len()))
            .then_with(|| a.start.cmp(&b.start))
    });
    // Surest first: the others keep what is left of them.
    let from = settled.len();
    for one in kept {
        let mut pieces = vec![one];
        for taken in settled.iter().skip(from) {
            if taken.start < one.end && one.start < taken.end {
                pieces = pieces
                    .into_iter()
                    .flat_map(|piece| without(piece, taken))
                    .collect();
            }
        }
        settled.extend(pieces.into_iter().filter(tells));
    }
    if let Some(new) = settled.get_mut(from..) {
        new.sort_by_key(|one| one.start);
    }
}

/// What is left of `piece` where `taken` does not stand: nothing, one piece or two.
fn without(piece: Found, taken: &Found) -> Vec<Found> {
    if taken.end <= piece.start || piece.end <= taken.start {
        return vec![piece];
    }
    let before = Found {
        end: taken.start.min(piece.end),
        ..piece
    };
    let after = Found {
        start: taken.end.max(piece.start),
        ..piece
    };
    [before, after]
        .into_iter()
        .filter(|rest| rest.start < rest.end)
        .collect()
}

/// Joins names (and places) that only a space or a hyphen parts: they are one person, and get one token.
fn join(text: &str, settled: Vec<Found>) -> Vec<Found> {
    let mut joined: Vec<Found> = Vec::with_capacity(settled.len());
    for one in settled {
        if let Some(last) = joined.last_mut()
            && last.kind == one.kind
            && matches!(one.kind, Kind::Name | Kind::Geo)
            && matches!(text.get(last.end..one.start), Some("" | " " | "-" | ". "))
        {
            last.end = one.end;
            if one.is_of_record() && !last.is_of_record() {
                last.rule = one.rule;
            }
            last.confidence = last.confidence.max(one.confidence);
            continue;
        }
        joined.push(one);
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(start: usize, end: usize, kind: Kind, confidence: f32) -> Found {
        Found {
            start,
            end,
            kind,
            confidence,
            rule: "test",
        }
    }

    #[test]
    fn overlaps_settle_and_lose_no_byte() {
        let text = "abcdefghijklmnopqrstuvwxyz";
        type Case<'a> = (&'a [(usize, usize, f32)], &'a [(usize, usize)]);
        let cases: &[Case<'_>] = &[
            (&[(0, 10, 0.5), (2, 4, 0.6)], &[(0, 10)]),
            (&[(0, 10, 0.5), (2, 4, 0.9)], &[(0, 2), (2, 4), (4, 10)]),
            (&[(0, 6, 0.9), (4, 10, 0.5)], &[(0, 6), (6, 10)]),
            (&[(3, 5, 0.9), (3, 5, 0.9)], &[(3, 5)]),
        ];
        for (given, expected) in cases {
            let given = given
                .iter()
                .map(|(start, end, confidence)| found(*start, *end, Kind::Date, *confidence))
                .collect();
            let settled: Vec<_> = settle(text, given)
                .iter()
                .map(|one| (one.start, one.end))
                .collect();
            assert_eq!(&settled, expected);
        }
    }

    #[test]
    fn parts_of_one_name_join() {
        let given = vec![found(0, 3, Kind::Name, 0.5), found(4, 9, Kind::Name, 0.9)];
        assert_eq!(settle("Ana Perez", given), [found(0, 9, Kind::Name, 0.9)]);
    }

    #[test]
    fn every_kind_is_known_by_its_name() {
        for kind in Kind::ALL {
            assert_eq!(Kind::named(kind.as_str()), Some(kind));
        }
    }
}
