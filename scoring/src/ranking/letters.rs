//! Letters that say which policies cannot be told apart.

use super::RankingError;

/// A compact letter display: policies share a letter exactly when they are not significantly
/// different.
///
/// `differs` has one entry per pair of the `policies` policies, in the order (0, 1), (0, 2), …,
/// (1, 2), …. Letters are handed out in the order of the policies, so list them from the best
/// down: the best gets `a`. After `z` come `aa`, `ab`, ….
///
/// Insert-and-absorb (Piepho 2004, "An algorithm for a letter-based representation of all-pairwise
/// comparisons"), with its sweep: no letter could be left out.
///
/// # Errors
/// [`RankingError::Pairs`].
///
/// ```
/// use rehearse_scoring::ranking::letters;
///
/// // The first differs from the third; the second from neither.
/// assert_eq!(letters(3, &[false, true, false])?, [vec!["a"], vec!["a", "b"], vec!["b"]]);
/// # Ok::<(), rehearse_scoring::ranking::RankingError>(())
/// ```
pub fn letters(policies: usize, differs: &[bool]) -> Result<Vec<Vec<String>>, RankingError> {
    let expected = policies * policies.saturating_sub(1) / 2;
    if differs.len() != expected {
        return Err(RankingError::Pairs { policies, expected, got: differs.len() });
    }
    let pairs: Vec<(usize, usize)> =
        (0..policies).flat_map(|i| (i + 1..policies).map(move |j| (i, j))).collect();
    // A column is a set of policies that share a letter.
    let mut columns: Vec<Vec<bool>> = vec![vec![true; policies]];
    for (&(i, j), _) in pairs.iter().zip(differs).filter(|(_, differs)| **differs) {
        let mut next = Vec::new();
        for column in columns {
            if column[i] && column[j] {
                for out in [j, i] {
                    let mut split = column.clone();
                    split[out] = false;
                    next.push(split);
                }
            } else {
                next.push(column);
            }
        }
        columns = absorb(next);
    }
    let alike: Vec<(usize, usize)> =
        pairs.iter().zip(differs).filter(|(_, d)| !**d).map(|(pair, _)| *pair).collect();
    sweep(&mut columns, &alike);
    columns = absorb(columns);
    // Columns in the order of their first policies, then of their second, and so on.
    columns.sort_by(|one, other| other.cmp(one));
    let names = (0..policies)
        .map(|policy| {
            let mine = columns.iter().enumerate().filter(|(_, column)| column[policy]);
            mine.map(|(index, _)| letter(index)).collect()
        })
        .collect();
    Ok(names)
}

/// Drops columns that lie within others.
fn absorb(columns: Vec<Vec<bool>>) -> Vec<Vec<bool>> {
    let within = |one: &[bool], other: &[bool]| one.iter().zip(other).all(|(a, b)| !a || *b);
    let mut kept: Vec<Vec<bool>> = Vec::new();
    for column in columns {
        if kept.iter().any(|other| within(&column, other)) {
            continue;
        }
        kept.retain(|other| !within(other, &column));
        kept.push(column);
    }
    kept
}

/// Takes policies out of columns where every pair that the column joins is joined elsewhere.
fn sweep(columns: &mut [Vec<bool>], alike: &[(usize, usize)]) {
    for index in 0..columns.len() {
        for policy in 0..columns[index].len() {
            if !columns[index][policy] {
                continue;
            }
            let joined_elsewhere = |i: usize, j: usize| {
                columns.iter().enumerate().any(|(c, column)| c != index && column[i] && column[j])
            };
            let elsewhere =
                columns.iter().enumerate().any(|(c, column)| c != index && column[policy]);
            let spare = alike
                .iter()
                .filter(|(i, j)| *i == policy || *j == policy)
                .filter(|(i, j)| columns[index][*i] && columns[index][*j])
                .all(|(i, j)| joined_elsewhere(*i, *j));
            if elsewhere && spare {
                columns[index][policy] = false;
            }
        }
    }
}

/// `a` to `z`, `aa`, `ab`, ….
fn letter(index: usize) -> String {
    let mut rest = index + 1;
    let mut letters = Vec::new();
    while rest > 0 {
        rest -= 1;
        letters.push(b'a' + (rest % 26) as u8);
        rest /= 26;
    }
    letters.iter().rev().map(|&byte| char::from(byte)).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn clear_cases_have_clear_letters() {
        assert_eq!(letters(1, &[]).unwrap(), [["a"]]);
        assert_eq!(letters(2, &[true]).unwrap(), [["a"], ["b"]]);
        assert_eq!(letters(2, &[false]).unwrap(), [["a"], ["a"]]);
        assert_eq!(letters(3, &[true, true, false]).unwrap(), [["a"], ["b"], ["b"]]);
        assert!(letters(3, &[true]).is_err());
        assert_eq!(letters(0, &[]).unwrap(), Vec::<Vec<String>>::new());
        assert_eq!([letter(0), letter(25), letter(26), letter(27)], ["a", "z", "aa", "ab"]);
    }

    proptest! {
        #[test]
        fn a_shared_letter_means_no_difference_and_back(
            policies in 1_usize..9, seed in prop::collection::vec(any::<bool>(), 36),
        ) {
            let differs = &seed[..policies * (policies - 1) / 2];
            let letters = letters(policies, differs).unwrap();
            let mut pair = 0;
            for i in 0..policies {
                prop_assert!(!letters[i].is_empty());
                for j in i + 1..policies {
                    let shared = letters[i].iter().any(|letter| letters[j].contains(letter));
                    prop_assert_eq!(shared, !differs[pair]);
                    pair += 1;
                }
            }
        }
    }
}
