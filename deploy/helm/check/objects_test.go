package check

import (
	"slices"
	"strings"
	"testing"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	apps "k8s.io/api/apps/v1"
	autoscaling "k8s.io/api/autoscaling/v2"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/json"
	"k8s.io/apimachinery/pkg/util/validation"
	gateway "sigs.k8s.io/gateway-api/apis/v1"
)

// manifests is what the chart renders to.
type manifests struct {
	text    string
	objects []object
}

type object interface {
	runtime.Object
	meta.Object
}

// decoder is strict: a key that the API type has not, or one that is there twice, is an
// error. The API server would drop the one with a warning that helm does not show.
func decoder(t *testing.T) runtime.Decoder {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		core.AddToScheme, apps.AddToScheme, autoscaling.AddToScheme, networking.AddToScheme, policy.AddToScheme,
		monitoring.AddToScheme, gateway.Install, addKeda,
	} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	return json.NewSerializerWithOptions(json.DefaultMetaFactory, scheme, scheme, json.SerializerOptions{Yaml: true, Strict: true})
}

// render renders the chart and decodes every object.
func render(t *testing.T, args ...string) *manifests {
	t.Helper()
	text, err := template(args...)
	if err != nil {
		t.Fatal(err)
	}
	m := &manifests{text: text}
	decode := decoder(t)
	for document := range strings.SplitSeq("\n"+text, "\n---\n") {
		if strings.TrimSpace(document) == "" {
			continue
		}
		decoded, kind, err := decode.Decode([]byte(document), nil, nil)
		if err != nil {
			t.Errorf("%v\n%s", err, document)
			continue
		}
		decoded.GetObjectKind().SetGroupVersionKind(*kind)
		m.objects = append(m.objects, decoded.(object))
	}
	if len(m.objects) < 10 {
		t.Fatalf("%d objects are rendered", len(m.objects))
	}
	return m
}

// all gives the objects of a type.
func all[T object](m *manifests) []T {
	var out []T
	for _, o := range m.objects {
		if o, ok := o.(T); ok {
			out = append(out, o)
		}
	}
	return out
}

// named gives the object of a type with a name; it fails the test when there is none.
func named[T object](t *testing.T, m *manifests, name string) T {
	t.Helper()
	for _, o := range all[T](m) {
		if o.GetName() == name {
			return o
		}
	}
	var none T
	t.Errorf("there is no %T named %q", none, name)
	return none
}

func has[T object](m *manifests, name string) bool {
	return slices.ContainsFunc(all[T](m), func(o T) bool { return o.GetName() == name })
}

// selects reports whether a selector takes in labels.
func selects(t *testing.T, selector *meta.LabelSelector, set map[string]string) bool {
	t.Helper()
	s, err := meta.LabelSelectorAsSelector(selector)
	if err != nil {
		t.Fatal(err)
	}
	if s.Empty() {
		t.Errorf("a selector is empty: it selects every pod of the namespace")
	}
	return s.Matches(labels.Set(set))
}

func TestEveryObjectHasAGoodName(t *testing.T) {
	each(t, goodNames)
}

// TestNamesAreMadeGood of what the API server would refuse: a release's name may have dots,
// and what is too long may be cut at a dash.
func TestNamesAreMadeGood(t *testing.T) {
	for name, set := range map[string]string{
		"dots":               "fullnameOverride=v1.2",
		"cut at dashes":      "fullnameOverride=" + strings.Repeat("a", 51) + "--b",
		"of all characters":  "nameOverride=" + strings.Repeat("a", 57) + ".b",
		"a tag's underscore": "image.tag=1.2.3_",
		"a long tag":         "image.tag=" + strings.Repeat("1", 62) + ".1",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := render(t, "--values", sets(t)["cluster-keda"], "--set", set)
			goodNames(t, m)
			for _, p := range pods(t, m) {
				checkLabels(t, p.name, p.meta.Labels)
			}
		})
	}
}

func goodNames(t *testing.T, m *manifests) {
	t.Helper()
	seen := map[string]bool{}
	for _, o := range m.objects {
		kind := o.GetObjectKind().GroupVersionKind().Kind
		id := kind + " " + o.GetName()
		if seen[id] {
			t.Errorf("%s is rendered twice", id)
		}
		seen[id] = true
		problems := validation.IsDNS1123Subdomain(o.GetName())
		if kind == "Service" {
			problems = validation.IsDNS1035Label(o.GetName()) // it is a host's name
		}
		if len(problems) > 0 {
			t.Errorf("%s: %v", id, problems)
		}
		if o.GetNamespace() != namespace {
			t.Errorf("%s is in the namespace %q", id, o.GetNamespace())
		}
		checkLabels(t, id, o.GetLabels())
		if kind == "Secret" {
			t.Errorf("%s: secrets are not the chart's to make", id)
		}
	}
}

func checkLabels(t *testing.T, of string, set map[string]string) {
	t.Helper()
	for key, value := range set {
		if problems := append(validation.IsQualifiedName(key), validation.IsValidLabelValue(value)...); len(problems) > 0 {
			t.Errorf("%s: label %s=%s: %v", of, key, value, problems)
		}
	}
}
