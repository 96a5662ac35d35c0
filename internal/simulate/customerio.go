package simulate

import (
	"encoding/json"
	"net/http"
)

const (
	customerIOMaxBytes = 500_000
	customerIOMaxItem  = 32_000
)

// NewCustomerIO makes a simulation of Customer.io's POST /api/v2/batch: less than 500 KB, and
// 32 KB an item. Items that are refused are named by their index with 207; the others are taken.
func NewCustomerIO(opts VendorOptions) *Backend {
	v := newVendor("customerio", opts, password, func(w http.ResponseWriter, status int, message string) {
		writeJSON(w, status, map[string]any{"errors": []map[string]string{{"reason": http.StatusText(status), "message": message}}})
	})
	v.on("POST /api/v2/batch", customerIOMaxBytes-1, func(w http.ResponseWriter, _ *http.Request, body []byte) {
		var in struct {
			Batch []json.RawMessage `json:"batch"`
		}
		if !v.read(w, body, &in) {
			return
		}
		if len(in.Batch) == 0 {
			v.refuse(w, http.StatusBadRequest, "batch is empty")
			return
		}
		var wrong []map[string]any
		for i, item := range in.Batch {
			if reason, field, message := customerIOProblem(item); reason != "" {
				wrong = append(wrong, map[string]any{"batch_index": i, "reason": reason, "field": field, "message": message})
			}
		}
		if len(wrong) > 0 {
			writeJSON(w, http.StatusMultiStatus, map[string]any{"errors": wrong})
			return
		}
		writeJSON(w, http.StatusOK, map[string]any{})
	})
	return v.backend()
}

func customerIOProblem(raw json.RawMessage) (reason, field, message string) {
	var item struct {
		Type        string         `json:"type"`
		Action      string         `json:"action"`
		Name        string         `json:"name"`
		Identifiers map[string]any `json:"identifiers"`
	}
	switch err := json.Unmarshal(raw, &item); {
	case err != nil:
		return "malformed", "", "the item is no object of the API"
	case len(raw) > customerIOMaxItem:
		return "too_large", "", "the item has more than 32 KB"
	case item.Type != "person" && item.Type != "object" && item.Type != "delivery":
		return "invalid", "type", "type must be person, object or delivery"
	case item.Action == "":
		return "required", "action", "action is required"
	case len(item.Identifiers) == 0 && item.Type != "delivery":
		return "required", "identifiers", "identifiers are required"
	case item.Action == "event" && item.Name == "":
		return "required", "name", "an event needs a name"
	}
	return "", "", ""
}
