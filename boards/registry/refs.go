package registry

import (
	"crypto/rand"
	"encoding/json"
)

// refSuffix ends the names of complete records in refDir.
const refSuffix = ".json"

// refRecord is a file of refDir.
type refRecord struct {
	Ref string     `json:"ref"`
	Top descriptor `json:"top"`
}

func refName(key string) string { return refDir + "/" + digestOf([]byte(key)).hex() + refSuffix }

// remember notes what a reference means.
func (s *store) remember(key string, top descriptor) error {
	b, err := json.Marshal(refRecord{Ref: key, Top: top})
	if err != nil {
		return err
	}
	temp := refDir + "/" + rand.Text()
	if err := s.root.WriteFile(temp, b, 0o600); err != nil {
		_ = s.root.Remove(temp)
		return s.failed(err)
	}
	if err := s.root.Rename(temp, refName(key)); err != nil {
		return s.failed(err)
	}
	return nil
}

// recall returns what a reference meant when it was remembered.
func (s *store) recall(key string) (descriptor, bool) { return s.readRef(refName(key)) }

func (s *store) readRef(name string) (descriptor, bool) {
	b, err := s.readSmall(name)
	if err != nil {
		return descriptor{}, false
	}
	var r refRecord
	if json.Unmarshal(b, &r) != nil || r.Top.check(maxManifest) != nil {
		return descriptor{}, false
	}
	return r.Top, true
}

func (s *store) readSmall(name string) ([]byte, error) {
	f, err := openRegular(s.root, name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readSmall(f)
}
