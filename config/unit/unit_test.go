package unit

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"headgate/config/yamlsrc"
)

func TestDuration(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"500ms": 500 * time.Millisecond, "30s": 30 * time.Second, "1m30s": 90 * time.Second, "24h": 24 * time.Hour,
		"7d": 7 * 24 * time.Hour, "0.5d": 12 * time.Hour, "0": 0, "0s": 0,
	} {
		got, err := ParseDuration(text)
		if err != nil || got.D() != want {
			t.Errorf("%s: %s, %v", text, got, err)
		}
		if again, err := ParseDuration(got.String()); err != nil || again != got {
			t.Errorf("%s written as %s", text, got)
		}
	}
	for _, text := range []string{"", "5", "-1s", "-1d", "d", "1w", "NaNd", "Infd", "1e9d", "99999999h", " 1s", "1 d"} {
		if got, err := ParseDuration(text); err == nil {
			t.Errorf("%q is taken for %s", text, got)
		}
	}
	for d, want := range map[Duration]string{0: "0s", Duration(time.Minute): "1m", Duration(time.Hour): "1h", Duration(90 * time.Minute): "1h30m", Duration(time.Hour + time.Second): "1h0m1s"} {
		if d.String() != want {
			t.Errorf("%s, want %s", d, want)
		}
	}
}

func TestSize(t *testing.T) {
	for text, want := range map[string]Size{"0": 0, "512": 512, "512B": 512, "256KB": 256 << 10, "1.5MB": 3 << 19, "6 MB": 6 << 20, "1GB": 1 << 30} {
		got, err := ParseSize(text)
		if err != nil || got != want {
			t.Errorf("%s: %d, %v", text, got, err)
		}
		if again, err := ParseSize(got.String()); err != nil || again != got {
			t.Errorf("%s written as %s", text, got)
		}
	}
	for _, text := range []string{"", "KB", "-1", "1TB", "NaN", "Inf", "1e30", "9999999999GB", "1kb", "0x10", "1_0"} {
		if got, err := ParseSize(text); err == nil {
			t.Errorf("%q is taken for %d", text, got)
		}
	}
}

func TestDecodeAndEncode(t *testing.T) {
	type all struct {
		D Duration `yaml:"d" json:"d"`
		S Size     `yaml:"s" json:"s"`
		R Rate     `yaml:"r" json:"r"`
		F Fill     `yaml:"f" json:"f"`
	}
	var report yamlsrc.Report
	var got all
	yamlsrc.Parse("f", []byte("d: 1.5s\ns: 2048\nr: 600/m\nf: 85%\n"), &report).Decode(&got, &report)
	if want := (all{Duration(1500 * time.Millisecond), 2048, Rate{600, time.Minute}, Fill{Percent: 85}}); got != want || report.Len() > 0 {
		t.Errorf("%+v, %v", got, report.Err())
	}
	if text, err := json.Marshal(got); err != nil || string(text) != `{"d":"1.5s","s":"2KB","r":"600/m","f":"85%"}` {
		t.Errorf("%s, %v", text, err)
	}
	for _, text := range []string{"d: [1]\ns: {}\nr: [x]\nf: {}\n", "d:\ns:\nr:\nf:\n", "d: x\ns: y\nr: 1/d\nf: 0%\n", "d: true\ns: -1\nr: 0/s\nf: 101%\n", "d: 1\ns: z\nr: 1.5/s\nf: 0\n"} {
		var report yamlsrc.Report
		yamlsrc.Parse("f", []byte(text), &report).Decode(&all{}, &report)
		problems := report.Problems()
		if len(problems) != 4 {
			t.Errorf("%q: %v", text, report.Err())
			continue
		}
		for i, what := range []string{"a duration", "a size", "a rate", "a part"} {
			if problems[i].Line != i+1 || !strings.Contains(problems[i].Message, "should be "+what) {
				t.Errorf("%q: %s", text, problems[i])
			}
		}
	}
	for _, c := range []struct {
		fill      Fill
		max, want int64
	}{{Fill{Percent: 90}, 1000, 900}, {Fill{Percent: 90}, 0, 0}, {Fill{Size: 7}, 0, 7}, {Fill{Size: 7}, 1000, 7}, {Fill{}, 1000, 0}} {
		if got := c.fill.Of(c.max); got != c.want {
			t.Errorf("%v of %d is %d, want %d", c.fill, c.max, got, c.want)
		}
	}
	if got := fmt.Sprint(Rate{5, 90 * time.Second}); got != "5/1m30s" {
		t.Error(got)
	}
}
