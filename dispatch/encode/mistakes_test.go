package encode_test

import (
	"testing"

	"headgate/dispatch/encode"
)

// Mistake 07: columns come from the first record only, and what is no string becomes empty.
// Here they are those of all records, and every value is written.
func TestMistake07ColumnsOfAllRecordsAndAllValues(t *testing.T) {
	const in = `[{"email":"a@b.example"},{"email":"c@d.example","age":42,"vip":true,"tags":["x"]},{"score":0.50,"vip":false,"note":null}]`
	const want = "email,age,tags,vip,note,score\n" +
		"a@b.example,,,,,\n" +
		"c@d.example,42,\"[\"\"x\"\"]\",true,,\n" +
		",,,false,,0.50\n"
	got, err := encode.CSV{}.Encode(decoded(t, in))
	if err != nil || string(got) != want {
		t.Errorf("got  %q, %v\nwant %q", got, err, want)
	}
}
