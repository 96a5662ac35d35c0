package gateway

import (
	"encoding/json"
	"reflect"
	"testing"

	"headgate/dispatch/tracking"
	"headgate/gateway/wire"
)

func TestOrderedKeepsItsOrderBothWays(t *testing.T) {
	in := Ordered[DeliveryView]{
		{"zeta", DeliveryView{State: "succeeded", Attempts: 1, Result: map[string]json.RawMessage{"id": json.RawMessage(`"<1>"`)}}},
		{"a \"quoted\" name", DeliveryView{State: "pending"}},
		{"alpha", DeliveryView{State: "pending"}},
	}
	text, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	var out Ordered[DeliveryView]
	if err := json.Unmarshal(text, &out); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	// json.Marshal escapes for HTML whatever a member's own encoder does.
	out[0].Value.Result["id"] = json.RawMessage(`"<1>"`)
	if !reflect.DeepEqual(in, out) {
		t.Fatalf("got %+v from %s", out, text)
	}
	for _, bad := range []string{`[]`, `7`, `{"a":{"state":7}}`} {
		if err := json.Unmarshal([]byte(bad), &out); err == nil {
			t.Errorf("%s was taken", bad)
		}
	}
}

// TestAcceptedView: the answer that is written by hand is what encoding/json gives.
func TestAcceptedView(t *testing.T) {
	for _, v := range []AcceptedView{
		{TrackingID: "trk_1", Status: tracking.InProgress, StatusURL: "https://api.example.com/tracking/trk_1"},
		{StatusURL: "/a?b&<c>\"\u2028é", Targets: Ordered[tracking.State]{{"crm", tracking.Pending}}},
		{TrackingID: "trk_1", Targets: Ordered[tracking.State]{{"crm", tracking.Pending}, {"<a>", tracking.Skipped}, {"", "x"}}},
	} {
		want, err := wire.Encode(v)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := v.appendJSON(nil); err != nil || string(got) != string(want) {
			t.Errorf("got %s, %v, want %s", got, err, want)
		}
	}
}
