package obs

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// TestFiguresAreAll: every metric that is registered is listed. A new one is counted in
// Figures, so that it exists there.
func TestFiguresAreAll(t *testing.T) {
	figures, err := Figures()
	if err != nil {
		t.Fatal(err)
	}
	var listed []string
	for _, f := range figures {
		listed = append(listed, f.Name)
		if f.Help == "" || f.Type == "" || !strings.HasSuffix(f.Help, ".") {
			t.Errorf("%+v lacks something", f)
		}
	}

	m := New()
	m.show(func() Fleet { return Fleet{} }, func() Pool { return Pool{} })
	descriptions := make(chan *prometheus.Desc)
	go func() {
		m.registry.Describe(descriptions)
		close(descriptions)
	}()
	name := regexp.MustCompile(`fqName: "([^"]+)"`)
	var registered []string
	for d := range descriptions {
		if found := name.FindStringSubmatch(d.String())[1]; strings.HasPrefix(found, ours) {
			registered = append(registered, found)
		}
	}
	slices.Sort(registered)
	if !slices.Equal(listed, registered) {
		t.Errorf("listed are\n%v, registered\n%v", listed, registered)
	}
}
