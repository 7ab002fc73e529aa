-- A large delivery beside rows that are there already is planned before anything of it was counted. The planner then takes
-- a merge join on the part of a key whose order it has for free, and a series of n rows costs n x n comparisons: a second
-- million of daily bars was not derived in nine minutes. A hash join, or an index, reads each row once.
alter procedure features.insert_made set enable_mergejoin = off;
