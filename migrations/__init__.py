"""The database's schema, one numbered step at a time; shipped with the package and run by `Database.migrate`."""
