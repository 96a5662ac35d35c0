package simulate

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
)

func klaviyoError(status int, detail, pointer string) map[string]any {
	code := map[int]string{
		http.StatusUnauthorized: "not_authenticated", http.StatusNotFound: "not_found", http.StatusTooManyRequests: "throttled",
		http.StatusRequestEntityTooLarge: "too_large",
	}[status]
	if code == "" {
		code = "invalid"
	}
	return map[string]any{
		"id": "e", "status": status, "code": code, "title": http.StatusText(status), "detail": detail,
		"source": map[string]string{"pointer": pointer}, "meta": map[string]any{},
	}
}

func writeKlaviyo(w http.ResponseWriter, status int, errors ...map[string]any) {
	writeJSON(w, status, map[string]any{"errors": errors})
}

type klaviyoProfile struct {
	Type       string          `json:"type"`
	Attributes json.RawMessage `json:"attributes"`
}

// klaviyoProblem says what is wrong with a profile in itself, and where below it.
func klaviyoProblem(raw json.RawMessage) (detail, below string) {
	var p klaviyoProfile
	var attributes map[string]any
	switch {
	case len(raw) > klaviyoMaxProfile:
		return "A profile must not have more than 100 KB", ""
	case json.Unmarshal(raw, &p) != nil || p.Type != "profile":
		return "type must be profile", "/type"
	case json.Unmarshal(p.Attributes, &attributes) != nil:
		return "attributes must be an object", "/attributes"
	}
	if email, there := attributes["email"]; there && !validEmail(fmt.Sprint(email)) {
		return "Invalid email address", "/attributes/email"
	}
	for _, name := range []string{"email", "phone_number", "external_id"} {
		if textOf(attributes, name) != "" {
			return "", ""
		}
	}
	return "One of email, phone_number or external_id is needed", "/attributes"
}

var e164 = regexp.MustCompile(`^\+[1-9][0-9]{6,14}$`)

// klaviyoRefusal gives the import error of a profile; nil when it is imported.
func klaviyoRefusal(raw json.RawMessage, at string) map[string]any {
	var p struct {
		Attributes map[string]any `json:"attributes"`
	}
	if err := json.Unmarshal(raw, &p); err != nil {
		return nil // it was read before
	}
	number, there := p.Attributes["phone_number"]
	if !there || e164.MatchString(fmt.Sprint(number)) {
		return nil
	}
	return map[string]any{"type": "import-error", "attributes": map[string]any{
		"code": "invalid", "title": "Invalid input", "detail": "Invalid phone number",
		"source": map[string]string{"pointer": at + "/attributes/phone_number"}, "original_payload": p.Attributes,
	}}
}
