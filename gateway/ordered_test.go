package gateway

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

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

// TestTrackingView: so is this one, with each of its fields set or not.
func TestTrackingView(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		v := TrackingView{Counts: Ordered[int]{}, Targets: Ordered[DeliveryView]{}}
		fill(random, reflect.ValueOf(&v).Elem())
		for i := range random.IntN(4) {
			var d DeliveryView
			fill(random, reflect.ValueOf(&d).Elem())
			v.Targets = append(v.Targets, Member[DeliveryView]{fmt.Sprint("<", i, ">"), d})
			v.Counts = append(v.Counts, Member[int]{string(d.State), i})
		}
		want, err := wire.Encode(v)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := v.appendJSON(nil); err != nil || string(got) != string(want) {
			t.Fatalf("got %s, %v\nwant %s", got, err, want)
		}
	}
}

// fill sets about half of the fields of a struct.
func fill(random *rand.Rand, v reflect.Value) {
	for i := range v.NumField() {
		f := v.Field(i)
		if random.IntN(2) == 0 {
			continue
		}
		switch f.Interface().(type) {
		case time.Time:
			f.Set(reflect.ValueOf(time.UnixMilli(random.Int64N(2_000_000_000_000)).UTC()))
			continue
		case *ProgressView:
			f.Set(reflect.ValueOf(&ProgressView{Done: random.Int64N(3), Total: random.Int64N(3)}))
			continue
		case map[string]json.RawMessage:
			f.Set(reflect.ValueOf(map[string]json.RawMessage{"id": json.RawMessage(`"7"`), "<": json.RawMessage(`{"a":"<"}`)}))
			continue
		}
		switch f.Kind() {
		case reflect.String:
			f.SetString([]string{"text", `q"<é>\`, "\u2028"}[random.IntN(3)])
		case reflect.Int:
			f.SetInt(random.Int64N(1000))
		case reflect.Bool:
			f.SetBool(true)
		default: // lists are the caller's
		}
	}
}
