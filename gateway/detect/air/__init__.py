"""Rules of air stations: bad air of a site or a place, chips that repeat themselves, sensors against neighbours."""
