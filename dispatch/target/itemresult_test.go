package target

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"headgate/dispatch/fault"
	"headgate/dispatch/tracking"
)

const accountingYAML = `{url: "${URL}", batch: {}, steps: [{name: up, post: /x}, {name: poll, get: /x,
	result: {job: "${{ .response.body.n }}"},
	until: {state: "${{ .response.body.state }}", running: [busy], succeeded: [done], failed: [failed], message: "${{ .response.body.why }}"},
	rejects: {items: "${{ .response.body.items }}", means: succeeded, index: "${{ .item.i }}", reason: "${{ .item.why }}",
		result: {id: "${{ .item.id }}"}, classify: [{when: "${{ .item.no == true }}", as: rejected}, {when: "${{ .item.later == true }}", as: retry}]}}]}`

func accounted(t *testing.T, answer string) tracking.Concluded {
	t.Helper()
	b := newBackend(t, says(200, answer))
	in := batchOf(`{}`, `{}`)
	in.Delivery.Step = "poll"
	return eventOf[tracking.Concluded](t, newEngine(t).Run(t.Context(), mustCompile(t, b.URL, accountingYAML), in))
}

// What an item says of its record is shown of that record, beside what is shown of all.
func TestResultOfAnItem(t *testing.T) {
	e := accounted(t, `{"state":"done","n":7,"items":[{"i":0,"id":"a1"},{"i":1,"id":"b2","no":true,"why":"bad"}]}`)
	taken, refused := e.Records[0], e.Records[1]
	if string(e.Result["job"]) != "7" || string(taken.Result["id"]) != `"a1"` || string(refused.Result["id"]) != `"b2"` || refused.State != tracking.Rejected {
		t.Fatalf("%+v", e)
	}
	batch := tracking.Settling(tracking.Apply(tracking.Delivery{State: tracking.Waiting}, e, time.Now()))
	one := tracking.MemberEnd(tracking.Delivery{State: tracking.Delivering}, batch, taken, time.Now())
	other := tracking.MemberEnd(tracking.Delivery{State: tracking.Delivering}, batch, refused, time.Now())
	if len(one.Result) != 2 || string(one.Result["job"]) != "7" || len(other.Result) != 1 {
		t.Errorf("shown: %s and %s", one.Result, other.Result)
	}

	// A record that its item says nothing more of ends as its batch.
	e = accounted(t, `{"state":"done","n":7,"why":"Completed","items":[{"i":0},{"i":1,"later":true}]}`)
	if _, own := e.Records[0]; own || e.Message != "Completed" {
		t.Errorf("%+v", e)
	}
	if again := e.Records[1]; again.State != tracking.Retrying || !strings.HasSuffix(again.Message, "; Completed") {
		t.Errorf("%+v", again)
	}
}

// A job that failed and names nobody failed for all, in the backend's words.
func TestFailedJobThatNamesNobody(t *testing.T) {
	e := accounted(t, `{"state":"failed","why":"boom","items":[]}`)
	for place, end := range e.Records {
		if end.State != tracking.Failed || end.Reason != fault.JobFailed || !strings.Contains(end.Message, "boom") {
			t.Errorf("record %d: %+v", place, end)
		}
	}
	if e.State != tracking.Failed || !strings.Contains(e.Message, "boom") {
		t.Errorf("%+v", e)
	}
	e = accounted(t, `{"state":"failed","why":"boom","items":[{"i":0}]}`)
	if e.Records[1].State != tracking.Unknown || !strings.Contains(e.Records[1].Message, "boom") {
		t.Errorf("%+v", e.Records[1])
	}
}

// A state that is no text cannot be one that nobody mapped: waiting for it would never end.
func TestStateThatIsNoText(t *testing.T) {
	b := newBackend(t, says(200, `{"state":{"a":1}}`))
	in := batchOf(`{}`)
	in.Delivery.Step = "poll"
	e := eventOf[tracking.PollFailed](t, newEngine(t).Run(t.Context(), mustCompile(t, b.URL, accountingYAML), in))
	if e.Fault.Reason != fault.BadResponse || !strings.Contains(e.Fault.Message, "expected text, got the object") {
		t.Errorf("%+v", e.Fault)
	}
}

func TestFieldsOfAnAnswerAreKnown(t *testing.T) {
	for _, field := range []string{"boddy", "code"} {
		_, report := compileText(t, "http://b.example", `{url: "${URL}", post: /x, result: {a: "${{ .response.`+field+`.x }}"}}`)
		if report.Err() == nil || !strings.Contains(report.Err().Error(), "known here: .response.status, .response.headers, .response.body") {
			t.Errorf("%s: %v", field, report.Err())
		}
	}
}

// Records that have a key in common and differ: what is said of one must not be told of the other.
func TestItemsOfRecordsThatDiffer(t *testing.T) {
	text := strings.Replace(accountingYAML, `index: "${{ .item.i }}"`, `key: {item: "${{ .item.k }}", record: "${{ .record.k }}"}`, 1)
	run := func(items string, records ...string) tracking.Concluded {
		b := newBackend(t, says(200, `{"state":"done","items":`+items+`}`))
		in := batchOf(records...)
		in.Delivery.Step = "poll"
		return eventOf[tracking.Concluded](t, newEngine(t).Run(t.Context(), mustCompile(t, b.URL, text), in))
	}
	if got := ends(run(`[{"k":"a"},{"k":"a","no":true}]`, `{"k":"a","n":1}`, `{"k":"a","n":2}`), 2); got != "uu" {
		t.Errorf("ended %s", got)
	}
	if got := ends(run(`[{"k":"a"},{"k":"a"}]`, `{"k":"a","n":1}`, `{"k":"a","n":2}`), 2); got != "ss" {
		t.Errorf("of which the same is said: %s", got)
	}
	if got := ends(run(`[{"k":"a"},{"k":"a","no":true}]`, `{"k":"a","n":1}`, `{"n": 1, "k":"a"}`), 2); got != "sr" {
		t.Errorf("that are the same: %s", got)
	}
}

// A list that was not read tells of nobody.
func TestPartialJobWithoutItsList(t *testing.T) {
	b := newBackend(t, says(200, `{"state":"part"}`))
	p := mustCompile(t, b.URL, `{url: "${URL}", batch: {}, steps: [{name: up, post: /x}, {name: poll, get: /x,
		until: {state: "${{ .response.body.state }}", partial: [part], succeeded: [done]},
		rejects: {when: "${{ .response.body.url != null }}", items: "${{ .response.body.items }}", index: "${{ .item.i }}"}}]}`)
	in := batchOf(`{}`)
	in.Delivery.Step = "poll"
	if e := eventOf[tracking.Concluded](t, newEngine(t).Run(t.Context(), p, in)); e.State != tracking.Unknown || e.Reason != fault.JobFailed {
		t.Errorf("%+v", e)
	}
}

// A list that says that it goes on, or counts in a way that cannot be read, is not whole.
func TestListsThatAreNotWhole(t *testing.T) {
	const list = `{url: "${URL}", batch: {}, steps: [{name: up, post: /x}, {name: poll, get: /x,
		until: {state: "${{ .response.body.state }}", partial: [part], succeeded: [done]},
		rejects: {get: /list, items: "${{ .response.body.items }}", index: "${{ .item.i }}", %s}}]}`
	for with, want := range map[string]string{
		`page: {more: "${{ .response.body.more }}"}`: "unknown", `total: "${{ 2.0 }}"`: "unknown", `total: "${{ 0.0 }}"`: "warned", `total: '${{ "1,200" }}'`: "failed poll",
	} {
		b := newBackend(t, says(200, `{"state":"part","items":[],"more":true}`))
		in := batchOf(`{}`)
		in.Delivery.Step = "poll"
		got := "failed poll"
		if e, ok := newEngine(t).Run(t.Context(), mustCompile(t, b.URL, fmt.Sprintf(list, with)), in).(tracking.Concluded); ok {
			got = string(e.State)
		}
		if got != want {
			t.Errorf("%s: %s, want %s", with, got, want)
		}
	}
}

// Records that are the same share their items; what is shown of one does not get into another's.
func TestResultsAreNotMixed(t *testing.T) {
	one := remark{means: tracking.Warned, result: map[string]json.RawMessage{"id": json.RawMessage("1")}}
	first, second := &verdict{reasons: map[tracking.State][]string{}}, &verdict{reasons: map[tracking.State][]string{}}
	first.add(one)
	second.add(one)
	second.add(remark{means: tracking.Warned, result: map[string]json.RawMessage{"id": json.RawMessage("2")}})
	if string(first.result["id"]) != "1" || string(second.result["id"]) != "2" || string(one.result["id"]) != "1" {
		t.Errorf("%s, %s and %s", first.result, second.result, one.result)
	}
}
