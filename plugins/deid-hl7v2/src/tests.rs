use super::*;

/// The message with each finding between `‹` and `›`, a segment a line.
fn marked(message: &str) -> String {
    let message = message.replace('\n', "\r");
    let mut marked = message.clone();
    for one in find(&message).iter().rev() {
        marked.insert(one.place.end, '›');
        marked.insert(one.place.start, '‹');
    }
    marked.replace('\r', "\n")
}

#[test]
fn fields_are_found_by_what_they_hold() {
    let message = r#"MSH|^~\&|ADT1|QUILLHAVEN|EHR||20240509143012||ADT^A01|QH7731|P|2.5.1
PID|1||5583920^^^QRMC^MR~900-55-0142^^^USSSA^SS||HARGREAVE^Silas^O\T\C^^Mr^^L||19470822|M||2106-3|4417 Old Kettle Rd^^Quillhaven^OR^97103^USA^H||^PRN^PH^s@postbag.example^1^503^5550119|||W|||900550142
OBX|1|NM|2160-0^Creatinine^LN||1.4|mg/dL|0.7-1.3|H|||F|||20240509152200
OBX|2|TX|NOTE||Seen by Dr. Holloway||||||F
NTE|1||Wife Philippa at the bedside"#;
    let expected = r#"MSH|^~\&|‹ADT1›|‹QUILLHAVEN›|‹EHR›||‹20240509143012›||ADT^A01|‹QH7731›|P|2.5.1
PID|1||‹5583920›^^^‹QRMC›^MR~‹900-55-0142›^^^‹USSSA›^SS||‹HARGREAVE›^‹Silas›^‹O\T\C›^^Mr^^L||‹19470822›|M||2106-3|‹4417 Old Kettle Rd›^^‹Quillhaven›^OR^‹97103›^USA^H||^PRN^PH^‹s@postbag.example›^‹1›^‹503›^‹5550119›|||W|||‹900550142›
OBX|1|NM|2160-0^Creatinine^LN||1.4|mg/dL|0.7-1.3|H|||F|||‹20240509152200›
OBX|2|TX|NOTE||Seen by Dr. Holloway||||||F
NTE|1||Wife Philippa at the bedside"#;
    assert_eq!(marked(message), expected);
}

#[test]
fn what_is_not_known_is_reported_and_said_to_be_unexamined() {
    let message = "MSH|^~\\&|||||||ADT^A01||P|2.5\nZPD|1|Hargreave^Silas~x&y|\"\"\nXYZ|secret\nPID|1|||||||||||||||||||||||||||||||||||||a^b\n\
                   OBX|1|ED|PDF||^application^pdf^Base64^JVBERi\nhanging words\nOBX|2|QQ|X||who\nNTE|1||fine";
    let expected = "MSH|^~\\&|||||||ADT^A01||P|2.5\nZPD|‹1›|‹Hargreave›^‹Silas›~‹x&y›|\"\"\nXYZ|‹secret›\nPID|1|||||||||||||||||||||||||||||||||||||‹a›^‹b›\n\
                    OBX|1|ED|PDF||^‹application›^‹pdf›^‹Base64›^‹JVBERi›\n‹hanging words›\nOBX|2|QQ|X||‹who›\nNTE|1||fine";
    assert_eq!(marked(message), expected);
    let found = find(&message.replace('\n', "\r"));
    assert!(
        found.iter().all(|one| one.rule.starts_with("unexamined-")),
        "{found:?}"
    );
}

#[test]
fn delimiters_are_those_of_the_message_and_prose_around_it_stays() {
    assert_eq!(
        marked("MSH#*+/?#A##\nPID#1##7*x+8##Ek*Bo"),
        "MSH#*+/?#‹A›##\nPID#1##‹7›*x+‹8›##‹Ek›*‹Bo›"
    );
    let embedded =
        "Here it is:\nMSH|^~\\&|A|\nPID|1||7\nThanks, Bo\nPID is short for patient identification";
    assert_eq!(
        marked(embedded),
        embedded.replace("|A|", "|‹A›|").replace("||7", "||‹7›")
    );
    assert_eq!(
        marked("A note of nothing\nPID|1||7"),
        "A note of nothing\nPID|1||7"
    );
    assert_eq!(
        marked("\u{b}MSH|^~\\&|A\nPID|1||7\u{1c}"),
        "\u{b}MSH|^~\\&|‹A›\nPID|1||‹7›\u{1c}"
    );
    for odd in [
        "",
        "MSH",
        "MSH|",
        "MSH|^",
        "MSH|^~\\&",
        "MSH|^~\\&\nPID",
        "MSH|^~\\&\nPID|",
        "é\nMSH|é",
    ] {
        drop(marked(odd));
    }
}
