package registry

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/docker/cli/cli/config"
	"github.com/docker/cli/cli/config/configfile"
	"github.com/docker/cli/cli/config/types"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
)

// credentials returns how to log in to a repository: with what docker or podman
// stored in dir, or with their credential helpers, or anonymously.
func credentials(dir string, repo name.Repository) (authn.Authenticator, error) {
	if dir == "" {
		return authn.Anonymous, nil
	}
	file, err := loadCredentials(dir)
	if err != nil {
		return nil, &credentialsError{dir, err}
	}
	keys := []string{repo.String(), repo.RegistryStr()}
	if repo.RegistryStr() == name.DefaultRegistry {
		keys = append(keys, "docker.io/"+repo.RepositoryStr(), "docker.io")
	}
	for _, key := range keys {
		found, err := file.GetAuthConfig(key)
		if err != nil {
			return nil, &credentialsError{dir, fmt.Errorf("%s: %w", key, err)}
		}
		found.ServerAddress = ""
		if found == (types.AuthConfig{}) {
			found = file.AuthConfigs[key] // podman's key for docker hub
			found.ServerAddress = ""
		}
		if found != (types.AuthConfig{}) {
			return authn.FromConfig(authn.AuthConfig{
				Username:      found.Username,
				Password:      found.Password,
				Auth:          found.Auth,
				IdentityToken: found.IdentityToken,
				RegistryToken: found.RegistryToken,
			}), nil
		}
	}
	return authn.Anonymous, nil
}

// credentialsError is trouble with this host's own credentials.
type credentialsError struct {
	dir string
	err error
}

func (e *credentialsError) Error() string {
	return fmt.Sprintf("failed to read credentials in %q: %v (try: docker logout, then docker login again)", e.dir, e.err)
}

func (e *credentialsError) Unwrap() error { return e.err }

func loadCredentials(dir string) (*configfile.ConfigFile, error) {
	for _, base := range []string{config.ConfigFileName, "auth.json"} {
		f, err := os.Open(filepath.Join(dir, base))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		defer f.Close()
		return config.LoadFromReader(f)
	}
	return configfile.New(""), nil
}
