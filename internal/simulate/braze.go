package simulate

import (
	"fmt"
	"net/http"
)

const (
	brazeMaxObjects = 75
	brazeMaxBytes   = 4 << 20
)

// NewBraze makes a simulation of Braze's POST /users/track: at most 75 attributes, events and
// purchases each. What is wrong with single objects comes with 201 and does not keep the
// others from being taken.
func NewBraze(opts VendorOptions) *Backend {
	v := newVendor("braze", opts, bearer, func(w http.ResponseWriter, status int, message string) {
		writeJSON(w, status, map[string]string{"message": message})
	})
	v.on("POST /users/track", brazeMaxBytes, func(w http.ResponseWriter, _ *http.Request, body []byte) {
		var in map[string][]map[string]any
		if !v.read(w, body, &in) {
			return
		}
		out := map[string]any{"message": "success"}
		var wrong []map[string]any
		for _, kind := range []string{"attributes", "events", "purchases"} {
			if len(in[kind]) > brazeMaxObjects {
				v.refuse(w, http.StatusBadRequest, fmt.Sprintf("The max number of %s per request is %d", kind, brazeMaxObjects))
				return
			}
			taken := 0
			for i, object := range in[kind] {
				if why := brazeProblem(kind, object); why != "" {
					wrong = append(wrong, map[string]any{"type": why, "input_array": kind, "index": i})
					continue
				}
				taken++
			}
			if len(in[kind]) > 0 {
				out[kind+"_processed"] = taken
			}
		}
		if len(out) == 1 {
			v.refuse(w, http.StatusBadRequest, "Valid data must be provided in the 'attributes', 'events', or 'purchases' fields.")
			return
		}
		if len(wrong) > 0 {
			out["errors"] = wrong
		}
		writeJSON(w, http.StatusCreated, out)
	})
	return v.backend()
}

func brazeProblem(kind string, object map[string]any) string {
	switch {
	case textOf(object, "external_id") == "" && textOf(object, "braze_id") == "" && object["user_alias"] == nil:
		return "'external_id', 'braze_id' or 'user_alias' is required"
	case kind == "events" && (textOf(object, "name") == "" || textOf(object, "time") == ""):
		return "'name' and 'time' are required"
	case kind == "purchases" && (textOf(object, "product_id") == "" || textOf(object, "currency") == "" || object["price"] == nil):
		return "'product_id', 'currency' and 'price' are required"
	}
	return ""
}
