package simulate

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// judge settles what becomes of each staged record; the lock is held.
func (e *eloqua) judge(s *eloquaSync, d *eloquaImport) {
	log := func(severity, code, message string, count int) {
		s.logs = append(s.logs, eloquaLog{s.uri, severity, code, message, count})
	}
	log("information", "ELQ-00001", "Total records processed.", len(d.staged))
	for _, name := range slices.Sorted(maps.Keys(d.ignored)) {
		log("warning", "ELQ-00111",
			fmt.Sprintf("Field (%s) is not part of import definition, and will be ignored.", name), d.ignored[name])
	}
	if e.opts.Fails(d.staged) {
		s.outcome = "error"
		log("error", "ELQ-00107", "There was an error processing the import.", 1)
		return
	}
	perCode, refused := map[string]int{}, 0
	for i, record := range d.staged {
		rejects, lost := e.rejectsOf(d, record, i), false
		for _, reject := range rejects {
			s.rejects = append(s.rejects, eloquaReject{
				texts(record), reject.Message, reject.StatusCode, i + 1, append([]string{}, reject.InvalidFields...),
			})
			perCode[reject.StatusCode]++
			lost = lost || reject.StatusCode != codeAdjusted
		}
		if lost {
			refused++
		}
	}
	for _, code := range slices.Sorted(maps.Keys(perCode)) {
		log("warning", code, "Records with this code are listed as rejects.", perCode[code])
	}
	log("information", "ELQ-00004", "Contacts imported.", len(d.staged)-refused)
	s.outcome = "success"
	if len(s.rejects) > 0 {
		s.outcome = "warning"
	}
}

// codeAdjusted marks a record that was imported with a changed value.
const codeAdjusted = "ELQ-00040"

// rejectsOf judges one record by the option or by default.
func (e *eloqua) rejectsOf(d *eloquaImport, record map[string]any, index int) []Reject {
	if e.opts.Rejects != nil {
		return e.opts.Rejects(record, index)
	}
	var out []Reject
	if email, _ := record["C_EmailAddress"].(string); !validEmail(strings.TrimSpace(email)) {
		out = append(out, Reject{"ELQ-00002", "Invalid email address.", []string{"C_EmailAddress"}})
	}
	if _, asked := d.fields["C_Company"]; asked && text(record["C_Company"]) == "" {
		out = append(out, Reject{codeAdjusted, "Record imported, field value adjusted.", []string{"C_Company"}})
	}
	return out
}

// texts gives a record's values as the vendor echoes them.
func texts(record map[string]any) map[string]string {
	out := make(map[string]string, len(record))
	for name, v := range record {
		out[name] = text(v)
	}
	return out
}

func text(v any) string {
	if v == nil {
		return ""
	}
	return fmt.Sprint(v)
}
