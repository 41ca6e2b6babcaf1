//! Dates of ISO 9660, all in UTC: in records (ECMA-119 9.1.5), in descriptors (8.4.26.1).

use crate::units::{Civil, Moment};

/// The last second of 2155: a record has one byte for the years since 1900.
const LAST: u64 = 5_869_583_999;

/// Seven bytes: years since 1900, month, day, hour, minute, second, zone.
pub fn short(epoch: u64) -> [u8; 7] {
    let c = Moment(epoch.min(LAST)).civil();
    // Each is below 256: the year by LAST.
    let fields = [c.year - 1900, c.month, c.day, c.hour, c.minute, c.second, 0];
    fields.map(|field| field as u8)
}

/// Seventeen bytes: `YYYYMMDDhhmmsscc` and the zone.
pub fn long(epoch: u64) -> [u8; 17] {
    let Civil {
        year,
        month,
        day,
        hour,
        minute,
        second,
    } = Moment(epoch.min(LAST)).civil();
    let text = format!("{year:04}{month:02}{day:02}{hour:02}{minute:02}{second:02}00");
    let mut bytes = [0; 17];
    for (to, from) in bytes.iter_mut().zip(text.bytes()) {
        *to = from;
    }
    bytes
}

/// A date that is not given.
pub const NONE: [u8; 17] = *b"0000000000000000\0";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_written_as_iso_9660_wants_them() {
        for (epoch, text) in [
            (1_700_000_000, b"2023111422132000\0"),
            (315_532_800, b"1980010100000000\0"),
            (951_782_400, b"2000022900000000\0"),
            (1_709_164_799, b"2024022823595900\0"),
            (4_102_444_799, b"2099123123595900\0"),
            (u64::MAX, b"2155123123595900\0"),
        ] {
            assert_eq!(&long(epoch), text);
        }
        assert_eq!(short(1_700_000_000), [123, 11, 14, 22, 13, 20, 0]);
        assert_eq!(short(u64::MAX), [255, 12, 31, 23, 59, 59, 0]);
    }
}
